//! Curriculum: tasks in levels of rising difficulty, the next level opened when the present one goes well.

use serde::{Deserialize, Serialize};

use super::Task;
use super::bands::band;

/// Levels by a numeric column and the rule that opens the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curriculum {
    /// The numeric column that says how hard a task is.
    pub by: String,
    /// Upper bounds of the levels but the last, rising: a task is in the first level whose bound is not below its value.
    pub bounds: Vec<f64>,
    /// Mean reward over a window at which the next level opens.
    pub promote_at: f64,
    /// How many episodes the window holds.
    #[serde(default = "default_window")]
    pub window: usize,
}

const fn default_window() -> usize {
    64
}

/// How far a curriculum has come; goes into the checkpoint.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CurriculumState {
    /// The highest open level, from 0.
    pub level: usize,
    /// Rewards at this level since the last promotion, the last `window` of them.
    pub recent: Vec<f64>,
}

impl Curriculum {
    /// The level of a task; `None` where the column is missing or no number.
    pub fn level(&self, task: &Task) -> Option<usize> {
        band(&self.by, &self.bounds, task)
    }

    /// Whether a task may be drawn now. Easier levels stay open: what is learnt is rehearsed.
    pub fn is_open(&self, task: &Task, state: &CurriculumState) -> bool {
        self.level(task).is_some_and(|level| level <= state.level)
    }

    /// Notes the reward of an episode at `level`; true when it opened the next level. Only rewards of the highest open
    /// level count, so that easy tasks promote nobody.
    pub fn note(&self, state: &mut CurriculumState, level: usize, reward: f64) -> bool {
        if level != state.level || state.level >= self.bounds.len() || !reward.is_finite() {
            return false;
        }
        state.recent.push(reward);
        if state.recent.len() > self.window {
            state.recent.remove(0);
        }
        let mean = state.recent.iter().sum::<f64>() / state.recent.len() as f64;
        let promoted = state.recent.len() >= self.window && mean >= self.promote_at;
        if promoted {
            *state = CurriculumState { level: state.level + 1, recent: vec![] };
        }
        promoted
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::task;
    use super::*;

    fn curriculum() -> Curriculum {
        Curriculum { by: "hops".to_owned(), bounds: vec![1.0, 2.0], promote_at: 0.5, window: 4 }
    }

    #[test]
    fn levels_open_one_after_another() {
        let (curriculum, mut state) = (curriculum(), CurriculumState::default());
        let hard = task("h", &json!({"hops": 5}));
        assert_eq!(curriculum.level(&hard), Some(2));
        assert!(!curriculum.is_open(&hard, &state));
        for (reward, promoted) in [(1.0, false), (0.0, false), (0.0, false), (0.0, false), (1.0, false), (1.0, true)] {
            assert_eq!(curriculum.note(&mut state, 0, reward), promoted);
        }
        assert_eq!(state, CurriculumState { level: 1, recent: vec![] });
        assert!(!curriculum.note(&mut state, 0, 1.0), "easy tasks promote nobody");
        assert!((0..4).any(|_| curriculum.note(&mut state, 1, 1.0)));
        assert!(curriculum.is_open(&hard, &state));
        assert!((0..9).all(|_| !curriculum.note(&mut state, 2, 1.0)), "there is no level above the last");
    }

    #[test]
    fn a_task_without_the_column_has_no_level() {
        assert_eq!(curriculum().level(&task("x", &json!({"hops": "many"}))), None);
    }
}
