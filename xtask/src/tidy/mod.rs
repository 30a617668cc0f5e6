//! `cargo xtask tidy`: the rules of ARCHITECTURE.md and STYLE.md that a program can check, in plain Rust.
//!
//! A rule looks at the repository's files as text and names what breaks it, by file and line. Text is enough: the rules
//! are about what is written, and a rule that needed a parser would be clippy's business.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::voice::say;

mod crates;
mod files;
mod pages;
mod sources;

use files::SourceFile;

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: PathBuf,
    /// Counted from one; zero when the whole file is meant.
    line: usize,
    message: String,
}

impl Finding {
    fn new(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Checks every rule on the checkout at `root`.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let findings = check(&files::read(root)?);
    for finding in &findings {
        say(finding);
    }
    match findings.len() {
        0 => Ok(()),
        1 => bail!("the repository breaks one of its rules"),
        n => bail!("the repository breaks its rules in {n} places"),
    }
}

fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings: Vec<_> = files.iter().flat_map(sources::check).collect();
    findings.extend(crates::check(files));
    findings.extend(pages::check(files));
    findings.sort();
    findings
}

#[cfg(test)]
mod tests {
    use super::{Finding, check, files};
    use crate::run;

    #[test]
    fn the_repository_keeps_its_rules() {
        let findings = check(&files::read(&run::root().unwrap()).unwrap());
        let shown: Vec<_> = findings.iter().map(Finding::to_string).collect();
        assert!(shown.is_empty(), "{}", shown.join("\n"));
    }
}
