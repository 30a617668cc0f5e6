//! A folder as a run file finds it: a team of two, ten tasks about five countries, and demonstrations of two of them.

use std::fmt::Write as _;
use std::path::Path;

use marft_engine::settings::file::{Loaded, load};
use marft_topologies::check::Report;

pub(super) const TEAM: &str = r#"
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

/// Two agents of one policy, of which one cannot be asked for.
const SHARED: &str = r#"
[team]
name = "shared"

[agents.planner]
role = "Plan."
policy = "one"
sees = ["task"]

[agents.writer]
role = "Write."
policy = "one"
sees = ["planner"]
trainable = false
"#;

/// A team with problems of its own.
const BROKEN: &str = r#"
[team]
nam = "broken"

[agents.solver]
role = "Solve {{ tsk }}."
sees = ["task", "nobody"]
"#;

/// A team that says which rewards there are.
const DECLARED: &str = r#"
[team]
name = "declared"

[agents.solver]
role = "Solve it."
sees = ["task"]

[rewards.correct]
at = "agent"
of = ["solver"]
weight = 2.0

[rewards.brief]
"#;

/// A team that says who is paid: the last to speak for the team's success, the first for its manners.
const CREDITED: &str = r#"
[team]
name = "credited"

[credit]
rule = "own"
group = "turn"

[agents.asker]
role = "Ask the keeper."
sees = ["task"]

[agents.keeper]
role = "Answer from the facts."
sees = ["task", "asker"]

[rewards.correct]

[rewards.polite]
at = "agent"
of = ["asker"]
"#;

/// A team that calls two tools.
const CALLING: &str = r#"
[team]
name = "calling"

[functions.facts]
op = "tool"
tool = "search"
arguments = { query = "{{ task }}" }
sees = ["task"]

[agents.solver]
role = "Solve it."
sees = ["task", "facts"]
tools = ["calculator"]
"#;

/// Agents that are held to forms: one that none can be held to, one that learns with a temperature of its own, one that a server
/// holds to its form.
const HELD: &str = r#"
[team]
name = "held"

[agents.asker]
role = "Ask the keeper."
sees = ["task"]
constrain = { regex = "ab?\\b" }

[agents.keeper]
role = "Answer from the facts."
sees = ["task", "asker"]
schema = { type = "object", properties = { answer = { type = "string" } }, required = ["answer"] }
constrain = "schema"
sampling = { temperature = 0.7 }

[agents.judge]
role = "Judge it."
sees = ["keeper"]
constrain = { regex = "(?:good|bad)\\b" }

[policies.judge]
kind = "remote"
url = "http://127.0.0.1:1/v1"
model = "m"
"#;

/// A team that says what its policies start from, and how one of them learns.
const POLICIES: &str = r#"
[team]
name = "policies"

[agents.first]
role = "Go."
sees = ["task"]
optimizer = { lr = 1e-4, clip = 0.5 }

[agents.second]
role = "Go on."
sees = ["first"]

[policies.first]
adapter = "one"

[policies.second]
model = "smollm2-135m-instruct"
adapter = "two"
"#;

/// A file that is all right.
pub(crate) const GOOD: &str = r#"
team = "team.toml"

[model]
base = "random:llama"

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
            let split = if at < 3 { "train" } else { "test" };
            for field in ["capital", "currency"] {
                let (question, facts) = (format!("{field} of {country}?"), format!("{field}: X{at}"));
                writeln!(
                    rows,
                    r#"{{"id": "{country}-{field}", "country": "{country}", "split": "{split}", "hops": {at}, "hint": "A {field}.", "question": "{question}", "facts": "{facts}", "answer": "X{at}"}}"#
                )
                .unwrap();
            }
        }
        let folder = Self(folder);
        folder.write("tasks.jsonl", &rows.replacen("\"hops\": 0,", "\"hops\": 0, \"partial\": \"X0\",", 1));
        folder.write("team.toml", TEAM);
        folder.write("shared.toml", SHARED);
        folder.write("broken.toml", BROKEN);
        folder.write("declared.toml", DECLARED);
        folder.write("policies.toml", POLICIES);
        folder.write("credited.toml", CREDITED);
        folder.write("calling.toml", CALLING);
        folder.write("held.toml", HELD);
        let said = |id: &str, agent: &str| format!("{{\"id\": \"{id}\", \"says\": {{\"{agent}\": \"X0\"}}}}\n");
        folder.write("demonstrations.jsonl", &said("Chad-capital", "keeper"));
        folder.write(
            "leaky.jsonl",
            &(said("Peru-capital", "keepr") + &said("Mali-currency", "keeper") + &said("x", "asker")),
        );
        folder.write("empty.jsonl", "\n");
        let listed = |at: u32| {
            let split = if at < 3 { "train" } else { "test" };
            format!("{{\"id\": {at}, \"split\": \"{split}\", \"hops\": {at}, \"tags\": [\"x\"], \"answer\": \"X\"}}\n")
        };
        folder.write("listed.jsonl", &(0..4).map(listed).collect::<String>());
        folder.write("broken.jsonl", &(said("Chad-capital", "keeper") + "{\"id\": \"Chad-capital\"}\n"));
        folder
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
