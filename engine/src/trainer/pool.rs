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

    /// The next `count` tasks.
    ///
    /// # Errors
    /// No task of the mixture's choice is open.
    pub fn draw(&self, state: &mut PoolState, count: usize) -> Result<Vec<Arc<Task>>, TrainerError> {
        state.orders.resize(self.sources.len(), OrderState::default());
        let order = |(at, of): (usize, &Vec<Arc<Task>>)| {
            DataOrder::new(self.seed.child("source", at as u64), of.len(), state.orders[at])
        };
        let mut orders: Vec<DataOrder> = self.sources.iter().enumerate().map(order).collect();
        let mut tasks = Vec::with_capacity(count);
        for _ in 0..count {
            let source = self.mixture.group(state.drawn);
            state.drawn += 1;
            let open = |at: &usize| {
                let task = &self.sources[source][*at];
                self.curriculum.as_ref().is_none_or(|curriculum| curriculum.is_open(task, &state.curriculum))
            };
            let Some(at) = orders[source].by_ref().take(PATIENCE).find(open) else {
                return Err(TrainerError::Setting("no task of the curriculum's open levels could be drawn".to_owned()));
            };
            tasks.push(Arc::clone(&self.sources[source][at]));
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
