//! How an error reads: miette's report, and what can be done about it as a `hint:` line at the end.
//!
//! A report without a source excerpt is written as plain lines, for it must read well in a log file too.

use std::error::Error;
use std::fmt::{self, Display, Formatter};

use miette::{Diagnostic, LabeledSpan, MietteHandlerOpts, ReportHandler, Severity, SourceCode};

/// Makes every `miette::Report` of this program read this way. Called once, before anything can fail.
pub(super) fn install() {
    miette::set_hook(Box::new(|_| Box::new(Voice))).expect("nothing has set a hook before main");
}

struct Voice;

impl ReportHandler for Voice {
    fn debug(&self, diagnostic: &dyn Diagnostic, f: &mut Formatter<'_>) -> fmt::Result {
        if diagnostic.source_code().is_some() {
            MietteHandlerOpts::new().build().debug(&WithoutHelp(diagnostic), f)?;
        } else {
            let mut told = diagnostic.to_string();
            write!(f, "error: {told}")?;
            let mut cause = diagnostic.source();
            while let Some(error) = cause {
                let text = error.to_string();
                // some errors tell their cause themselves
                if !told.contains(&text) {
                    write!(f, "\n  caused by: {text}")?;
                    told = text;
                }
                cause = error.source();
            }
        }
        if let Some(help) = diagnostic.help() {
            write!(f, "\nhint: {help}")?;
        }
        Ok(())
    }
}

/// A diagnostic whose help is told elsewhere.
#[derive(Debug)]
struct WithoutHelp<'a>(&'a dyn Diagnostic);

impl Display for WithoutHelp<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self.0, f)
    }
}

impl Error for WithoutHelp<'_> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl Diagnostic for WithoutHelp<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.0.code()
    }

    fn severity(&self) -> Option<Severity> {
        self.0.severity()
    }

    fn url<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.0.url()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        self.0.related()
    }

    fn diagnostic_source(&self) -> Option<&dyn Diagnostic> {
        self.0.diagnostic_source()
    }
}

#[cfg(test)]
mod tests {
    use super::Voice;
    use miette::{Diagnostic, NamedSource, ReportHandler as _, SourceSpan};
    use std::fmt::{self, Formatter};

    struct Shown<D>(D);

    impl<D: Diagnostic> fmt::Debug for Shown<D> {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            Voice.debug(&self.0, f)
        }
    }

    #[derive(Debug, thiserror::Error, Diagnostic)]
    #[error("could not read the run file")]
    #[diagnostic(help("name a file that exists"))]
    struct Plain {
        #[source]
        cause: std::io::Error,
    }

    #[derive(Debug, thiserror::Error, Diagnostic)]
    #[error("unknown key `rolle`")]
    #[diagnostic(code(team::unknown_key), help("did you mean `role`?"))]
    struct WithExcerpt {
        #[source_code]
        source_code: NamedSource<String>,
        #[label("here")]
        at: SourceSpan,
    }

    #[test]
    fn a_report_without_an_excerpt_is_plain_lines() {
        let error = Plain { cause: std::io::Error::other("is a directory") };
        let shown = format!("{:?}", Shown(error));
        assert_eq!(
            shown,
            "error: could not read the run file\n  caused by: is a directory\nhint: name a file that exists"
        );
    }

    #[test]
    fn nothing_is_told_twice() {
        let cause = std::io::Error::other(Plain { cause: std::io::Error::other("is a directory") });
        let shown = format!("{:?}", Shown(Plain { cause }));
        assert_eq!(shown.matches("could not read the run file").count(), 1, "{shown}");
    }

    #[test]
    fn an_excerpt_is_drawn_and_the_hint_comes_last() {
        let source_code = NamedSource::new("team.toml", "rolle = \"x\"\n".to_owned());
        let shown = format!("{:?}", Shown(WithExcerpt { source_code, at: (0, 5).into() }));
        assert!(shown.contains("unknown key `rolle`") && shown.contains("team.toml"), "{shown}");
        assert_eq!(shown.lines().last(), Some("hint: did you mean `role`?"), "{shown}");
        assert!(!shown.contains("help:"), "{shown}");
    }
}
