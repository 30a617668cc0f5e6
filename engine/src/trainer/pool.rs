//! The pool: tasks to train on and tasks held out, and the order in which the former are drawn.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::TrainerError;
use crate::seed::Seed;
use crate::settings::TaskSettings;
use crate::task::{Curriculum, CurriculumState, DataOrder, Mixture, OrderState, Splits, Task, audit, read_rows};

/// Draws in a row that may fall on tasks that are not open before the pool is taken to have none.
const PATIENCE: usize = 100_000;

/// Tasks of a run.
#[derive(Debug)]
pub struct Pool {
    /// Training tasks, by source.
    sources: Vec<Vec<Arc<Task>>>,
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
    /// Where each source stands.
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
        let mut sources = vec![];
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
            sources.push(train.into_iter().map(Arc::new).collect());
            held_out.extend(aside.into_iter().map(Arc::new));
        }
        let mixture = Mixture::new(&weights, seed)?;
        Ok(Self { sources, held_out, mixture, curriculum: settings.curriculum.clone(), seed })
    }

    /// Tasks that are never trained on.
    pub fn held_out(&self) -> &[Arc<Task>] {
        &self.held_out
    }

    /// How many tasks there are to train on.
    pub fn training(&self) -> usize {
        self.sources.iter().map(Vec::len).sum()
    }

    /// A training task by its id.
    pub fn find(&self, id: &str) -> Option<&Arc<Task>> {
        self.sources.iter().flatten().find(|task| task.id == id)
    }

    /// At most `most` held-out tasks, the same ones every time.
    pub fn sample_held_out(&self, most: Option<usize>) -> Vec<Arc<Task>> {
        let order = self.seed.child("held_out", 0).permutation(self.held_out.len());
        let mut chosen: Vec<usize> = order.into_iter().take(most.unwrap_or(usize::MAX)).collect();
        chosen.sort_unstable();
        chosen.into_iter().map(|at| Arc::clone(&self.held_out[at])).collect()
    }

    /// The next `count` tasks. Sources of which no task is open yet are passed over.
    ///
    /// # Errors
    /// No task is open.
    pub fn draw(&self, state: &mut PoolState, count: usize) -> Result<Vec<Arc<Task>>, TrainerError> {
        state.orders.resize(self.sources.len(), OrderState::default());
        let order = |(at, of): (usize, &Vec<Arc<Task>>)| {
            DataOrder::new(self.seed.child("source", at as u64), of.len(), state.orders[at])
        };
        let mut orders: Vec<DataOrder> = self.sources.iter().enumerate().map(order).collect();
        let level = state.curriculum.clone();
        let open = |task: &Task| self.curriculum.as_ref().is_none_or(|curriculum| curriculum.is_open(task, &level));
        let begun: Vec<bool> = self.sources.iter().map(|tasks| tasks.iter().any(|task| open(task))).collect();
        let mut tasks = Vec::with_capacity(count);
        for _ in 0..count {
            let groups = (state.drawn..).take(PATIENCE).map(|draw| (draw, self.mixture.group(draw)));
            let found = groups.into_iter().find(|(_, source)| begun[*source]);
            let drawn = found.and_then(|(draw, source)| {
                state.drawn = draw + 1;
                let mut order = orders[source].by_ref().take(PATIENCE);
                order.find(|at| open(&self.sources[source][*at])).map(|at| &self.sources[source][at])
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::task;

    #[test]
    fn sources_without_an_open_task_are_passed_over() {
        let source = |name: &str, hops: f64| -> Vec<Arc<Task>> {
            (0..4).map(|at| Arc::new(task(&format!("{name}{at}"), &json!({"hops": hops})))).collect()
        };
        let seed = Seed::of_run(3);
        let curriculum = Curriculum { by: "hops".to_owned(), bounds: vec![1.0], promote_at: 0.5, window: 1 };
        let pool = Pool {
            sources: vec![source("easy", 1.0), source("hard", 2.0)],
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
}
