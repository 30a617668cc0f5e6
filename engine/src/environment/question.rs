//! Single-turn question answering: one scene, one answer, no reward of its own; the run's reward terms judge.

use marft_topologies::turns::{Message, Task as Shown};
use serde::Deserialize;

use super::{Environment, EnvironmentFault, Outcome, Scene, Standing};
use crate::seed::Seed;
use crate::task::Task;

/// Shows columns of the task's row.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuestionAnswering {
    /// The column that every agent sees which has none of its own; nothing where absent.
    #[serde(default)]
    pub text: Option<String>,
    /// Columns that single agents see instead, by the agent's label: partial observation.
    #[serde(default)]
    pub own: std::collections::BTreeMap<String, String>,
}

impl Environment for QuestionAnswering {
    fn reset(&mut self, task: &Task, _seed: Seed) -> Result<Scene, EnvironmentFault> {
        let column = |name: &str| {
            let missing = || EnvironmentFault(format!("task `{}` has no text in its column `{name}`", task.id));
            task.text(name).ok_or_else(missing)
        };
        let shared = match &self.text {
            Some(name) => Shown { text: column(name)?, fields: task.fields.clone() },
            None => Shown::default(),
        };
        let own = self.own.iter().map(|(agent, name)| Ok((agent.clone(), Shown::text(column(name)?))));
        Ok(Scene { shared, own: own.collect::<Result<_, _>>()? })
    }

    fn step(&mut self, _output: Option<&Message>) -> Result<Outcome, EnvironmentFault> {
        Ok(Outcome { standing: Standing::Done { won: None }, rewards: vec![] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::task;

    #[test]
    fn agents_see_their_own_columns_and_nothing_else() {
        let row = task("AL", &json!({"question": "Capital?", "facts": "capital: Tirana", "answer": "Tirana"}));
        let own = [("asker".to_owned(), "question".to_owned()), ("keeper".to_owned(), "facts".to_owned())];
        let mut environment = QuestionAnswering { text: None, own: own.into() };
        let scene = environment.reset(&row, Seed::of_run(1)).unwrap();
        assert_eq!(scene.shared, Shown::default());
        assert_eq!(scene.own[0], ("asker".to_owned(), Shown::text("Capital?")));
        environment.text = Some("missing".to_owned());
        assert!(environment.reset(&row, Seed::of_run(1)).unwrap_err().to_string().contains("column `missing`"));
    }
}
