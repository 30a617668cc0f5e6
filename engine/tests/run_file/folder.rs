//! A folder as a run file finds it: a team of two, ten tasks about five countries, and demonstrations of two of them.

use std::fmt::Write as _;
use std::path::Path;

use marft_engine::settings::file::{Loaded, load};
use marft_topologies::check::Report;

const TEAM: &str = r#"
[team]
name = "relay"

[agents.asker]
role = "Ask the keeper."
sees = ["task"]
sampling = { max_tokens = 16 }

[agents.keeper]
role = "Answer from the facts."
sees = ["task", "asker"]
output = { answer = "(.*)" }
"#;

/// A file that is all right.
pub(crate) const GOOD: &str = r#"
team = "team.toml"

[model]
base = "random:tiny"

[task]
files = "tasks.jsonl"
split = { hash = { by = "country", held_out = 0.4 } }

[task.environment]
kind = "question"
own = { asker = "question", keeper = "facts" }

[[reward]]
kind = "exact"
of = "keeper.answer"
"#;

/// The folder; gone when dropped.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = String::new();
        for (at, country) in ["Chad", "Fiji", "Iran", "Mali", "Peru"].into_iter().enumerate() {
            for field in ["capital", "currency"] {
                let (question, facts) = (format!("{field} of {country}?"), format!("{field}: X{at}"));
                writeln!(
                    rows,
                    r#"{{"id": "{country}-{field}", "country": "{country}", "hops": {at}, "question": "{question}", "facts": "{facts}", "answer": "X{at}"}}"#
                )
                .unwrap();
            }
        }
        fs_err::write(folder.path().join("tasks.jsonl"), rows).unwrap();
        fs_err::write(folder.path().join("team.toml"), TEAM).unwrap();
        let demonstration = r#"{"id": "Chad-capital", "says": {"asker": "capital?", "keeper": "X0"}}"#;
        fs_err::write(folder.path().join("demonstrations.jsonl"), format!("{demonstration}\n")).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs_err::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn load(&self, text: &str, overrides: &[(&str, &str)]) -> Result<Loaded, Report> {
        self.write("run.toml", text);
        let overrides: Vec<_> =
            overrides.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect();
        load(&self.path().join("run.toml"), &overrides)
    }

    /// Loads what must be right.
    pub(crate) fn good(&self, text: &str, overrides: &[(&str, &str)]) -> Loaded {
        self.load(text, overrides).unwrap_or_else(|report| panic!("{}", report.render(false, 100)))
    }

    /// The report on what must be wrong, without the folder's own path.
    pub(crate) fn problems(&self, text: &str, overrides: &[(&str, &str)]) -> String {
        let report = self.load(text, overrides).expect_err("a file with problems");
        report.render(false, 1000).replace(&format!("{}/", self.path().display()), "")
    }
}
