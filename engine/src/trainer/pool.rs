//! The pool: tasks to train on and tasks held out, and the order in which the former are drawn.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TrainerError;
use crate::seed::Seed;
use crate::settings::TaskSettings;
use crate::task::{Bands, Curriculum, CurriculumState, DataOrder, Mixture, OrderState, Splits, Task, audit, read_rows};

/// Draws in a row that may fall on tasks that are not open before the pool is taken to have none.
const PATIENCE: usize = 100_000;

/// Tasks of a run.
#[derive(Debug)]
pub struct Pool {
    /// Training tasks in the groups that are drawn from: by source, or by the bands of a mixture.
    groups: Vec<Vec<Arc<Task>>>,
    held_out: Vec<Arc<Task>>,
    mixture: Mixture,
    curriculum: Option<Curriculum>,
    seed: Seed,
}

/// How far a pool has been drawn from; goes into the checkpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolState {
    /// Tasks drawn.
    pub drawn: u64,
    /// Where each group stands.
    pub orders: Vec<OrderState>,
    /// How far the curriculum has come.
    pub curriculum: CurriculumState,
}

impl Pool {
    /// Reads and splits the rows. Without a split all rows are on both sides.
    ///
    /// # Errors
    /// Files that cannot be read, rows that cannot be split, texts that stand on both sides.
    pub fn read(settings: &TaskSettings, seed: Seed) -> Result<Self, TrainerError> {
        let mut groups: Vec<Vec<Arc<Task>>> = vec![];
        let mut held_out = vec![];
        let mut weights = vec![];
        for source in &settings.sources {
            let rows = read_rows(&source.file)?;
            let Splits { train, held_out: aside } = match &settings.split {
                Some(rule) => Splits::of(rows, rule)?,
                None => Splits { train: rows.clone(), held_out: rows },
            };
            if settings.split.is_some()
                && let Some(overlap) = audit(&train, &aside, &settings.audit).first()
            {
                return Err(TrainerError::Setting(format!(
                    "the column `{}` of task `{}` says {:?}, and so does held-out task `{}`: split by a column that keeps \
                     them together",
                    overlap.column, overlap.train, overlap.text, overlap.held_out
                )));
            }
            weights.push(source.weight.unwrap_or(train.len() as f64));
            groups.push(train.into_iter().map(Arc::new).collect());
            held_out.extend(aside.into_iter().map(Arc::new));
        }
        if let Some(bands) = &settings.mixture {
            (groups, weights) = (in_bands(bands, groups.into_iter().flatten())?, bands.weights.clone());
        }
        let mixture = Mixture::new(&weights, seed)?;
        Ok(Self { groups, held_out, mixture, curriculum: settings.curriculum.clone(), seed })
    }

    /// Tasks that are never trained on.
    pub fn held_out(&self) -> &[Arc<Task>] {
        &self.held_out
    }

    /// How many tasks there are to train on.
    pub fn training(&self) -> usize {
        self.groups.iter().map(Vec::len).sum()
    }

    /// A training task by its id.
    pub fn find(&self, id: &str) -> Option<&Arc<Task>> {
        self.groups.iter().flatten().find(|task| task.id == id)
    }

    /// At most `most` held-out tasks, the same ones every time.
    pub fn sample_held_out(&self, most: Option<usize>) -> Vec<Arc<Task>> {
        let order = self.seed.child("held_out", 0).permutation(self.held_out.len());
        let mut chosen: Vec<usize> = order.into_iter().take(most.unwrap_or(usize::MAX)).collect();
        chosen.sort_unstable();
        chosen.into_iter().map(|at| Arc::clone(&self.held_out[at])).collect()
    }

    /// The next `count` tasks. Groups of which no task is open yet are passed over.
    ///
    /// # Errors
    /// No task is open.
    pub fn draw(&self, state: &mut PoolState, count: usize) -> Result<Vec<Arc<Task>>, TrainerError> {
        state.orders.resize(self.groups.len(), OrderState::default());
        let order = |(at, of): (usize, &Vec<Arc<Task>>)| {
            DataOrder::new(self.seed.child("source", at as u64), of.len(), state.orders[at])
        };
        let mut orders: Vec<DataOrder> = self.groups.iter().enumerate().map(order).collect();
        let level = state.curriculum.clone();
        let open = |task: &Task| self.curriculum.as_ref().is_none_or(|curriculum| curriculum.is_open(task, &level));
        let begun: Vec<bool> = self.groups.iter().map(|tasks| tasks.iter().any(|task| open(task))).collect();
        let mut tasks = Vec::with_capacity(count);
        for _ in 0..count {
            let groups = (state.drawn..).take(PATIENCE).map(|draw| (draw, self.mixture.group(draw)));
            let found = groups.into_iter().find(|(_, group)| begun[*group]);
            let drawn = found.and_then(|(draw, group)| {
                state.drawn = draw + 1;
                let mut order = orders[group].by_ref().take(PATIENCE);
                order.find(|at| open(&self.groups[group][*at])).map(|at| &self.groups[group][at])
            });
            let none = || TrainerError::Setting("no task of the curriculum's open levels could be drawn".to_owned());
            tasks.push(Arc::clone(drawn.ok_or_else(none)?));
        }
        state.orders = orders.iter().map(DataOrder::state).collect();
        Ok(tasks)
    }

    /// Tells the curriculum what an episode earned; true when it opened the next level.
    pub fn note(&self, state: &mut PoolState, task: &Task, reward: f64) -> bool {
        let Some(curriculum) = &self.curriculum else { return false };
        curriculum.level(task).is_some_and(|level| curriculum.note(&mut state.curriculum, level, reward))
    }
}

/// The tasks of every band; an error where one has no number to tell its band by.
fn in_bands(bands: &Bands, tasks: impl Iterator<Item = Arc<Task>>) -> Result<Vec<Vec<Arc<Task>>>, TrainerError> {
    let mut groups = vec![vec![]; bands.weights.len()];
    for task in tasks {
        let Some(group) = bands.band(&task).and_then(|band| groups.get_mut(band)) else {
            let (by, id) = (&bands.by, &task.id);
            let message = format!("task `{id}` is in no band of the mixture: its column `{by}` holds no number");
            return Err(TrainerError::Setting(message));
        };
        group.push(task);
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::{Kind, TaskSource};
    use crate::task::task;

    #[test]
    fn groups_without_an_open_task_are_passed_over() {
        let source = |name: &str, hops: f64| -> Vec<Arc<Task>> {
            (0..4).map(|at| Arc::new(task(&format!("{name}{at}"), &json!({"hops": hops})))).collect()
        };
        let seed = Seed::of_run(3);
        let curriculum = Curriculum { by: "hops".to_owned(), bounds: vec![1.0], promote_at: 0.5, window: 1 };
        let pool = Pool {
            groups: vec![source("easy", 1.0), source("hard", 2.0)],
            held_out: vec![],
            mixture: Mixture::new(&[0.5, 0.5], seed).unwrap(),
            curriculum: Some(curriculum),
            seed,
        };
        let mut state = PoolState::default();
        let drawn = pool.draw(&mut state, 10).unwrap();
        assert!(drawn.iter().all(|task| task.id.starts_with("easy")));
        assert!(pool.note(&mut state, &drawn[0], 1.0));
        let drawn = pool.draw(&mut state, 10).unwrap();
        let hard = drawn.iter().filter(|task| task.id.starts_with("hard")).count();
        assert!((4..=6).contains(&hard), "{hard}");
    }

    #[test]
    fn bands_are_drawn_in_their_shares_however_the_rows_are_spread() {
        let home = tempfile::tempdir().unwrap();
        let rows = |name: &str, hops: &[u32]| {
            let row = |(at, hops): (usize, &u32)| json!({"id": format!("{name}{at}"), "hops": hops}).to_string();
            let file = home.path().join(name);
            std::fs::write(&file, hops.iter().enumerate().map(row).collect::<Vec<_>>().join("\n")).unwrap();
            TaskSource { file, weight: None }
        };
        let sources = vec![rows("a.jsonl", &[1, 1, 1, 1, 1, 1, 1, 1, 2]), rows("b.jsonl", &[1, 2, 9])];
        let mixture = Some(Bands { by: "hops".to_owned(), bounds: vec![1.0, 2.0], weights: vec![1.0, 3.0, 0.0] });
        let environment = Kind { kind: "question".to_owned(), settings: serde_json::Map::new() };
        let settings = TaskSettings { sources, split: None, audit: vec![], mixture, curriculum: None, environment };
        let pool = Pool::read(&settings, Seed::of_run(1)).unwrap();
        let drawn = pool.draw(&mut PoolState::default(), 40).unwrap();
        let count = |hops: f64| drawn.iter().filter(|task| task.number("hops") == Some(hops)).count();
        assert!((9..=11).contains(&count(1.0)) && count(9.0) == 0, "{} of 40", count(1.0));
        let ids: std::collections::BTreeSet<&str> = drawn.iter().map(|task| task.id.as_str()).collect();
        assert!(ids.contains("a.jsonl8") && ids.contains("b.jsonl1"), "a band has rows of all files: {ids:?}");
        assert_eq!(pool.training(), 12);

        rows("b.jsonl", &[]);
        std::fs::write(home.path().join("b.jsonl"), "{\"id\": \"odd\", \"hops\": \"many\"}").unwrap();
        let refused = Pool::read(&settings, Seed::of_run(1)).unwrap_err().to_string();
        assert!(refused.contains("`odd`") && refused.contains("`hops`"), "{refused}");
    }
}
