//! The chain itself: a struct of arrays with one entry per element, and a table of turns.

use std::ops::Range;

use super::{Boundary, Real, TrajectoryError};
use crate::Result;

/// Who took a turn, where, and with whom it is compared. Plain numbers given by the caller; only equality matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TurnIds {
    /// The episode; unique in the batch.
    pub episode: u32,
    /// The environment step inside the episode, non-decreasing.
    pub step: u32,
    /// The agent.
    pub agent: u32,
    /// The policy (weights) that sampled the turn; agents may share one.
    pub policy: u32,
    /// The role.
    pub role: u32,
    /// The task whose episodes form a group.
    pub group: u32,
    /// The place in the team's graph, or in a tree of attempts.
    pub node: u32,
}

/// One turn of the chain: identities and the elements that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Identities.
    pub ids: TurnIds,
    /// The elements `start..end`; never empty.
    pub range: Range<usize>,
}

/// A flattened, ragged batch of episodes. See the [module documentation](super).
///
/// All arrays have one entry per element; `value` may be empty where there is no critic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Chain<F = f32> {
    pub(crate) reward: Vec<F>,
    pub(crate) value: Vec<F>,
    pub(crate) logp: Vec<F>,
    pub(crate) in_loss: Vec<bool>,
    pub(crate) boundary: Vec<Boundary>,
    pub(crate) bootstrap: Vec<F>,
    pub(crate) turns: Vec<Turn>,
}

impl<F: Real> Chain<F> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.reward.len()
    }

    /// True without a single element.
    pub fn is_empty(&self) -> bool {
        self.reward.is_empty()
    }

    /// Reward received after each element, in the units of the task.
    pub fn reward(&self) -> &[F] {
        &self.reward
    }

    /// The critic's value of the state *before* each element; empty without a critic.
    pub fn value(&self) -> &[F] {
        &self.value
    }

    /// Log-probability (nats) with which each element was sampled; 0 outside the loss where none exists.
    pub fn logp(&self) -> &[F] {
        &self.logp
    }

    /// Whether an element was sampled by a policy in training. All else is skipped by every estimator.
    pub fn in_loss(&self) -> &[bool] {
        &self.in_loss
    }

    /// The border after each element.
    pub fn boundary(&self) -> &[Boundary] {
        &self.boundary
    }

    /// The value that stands for the rest of each truncated episode, in the order of the episodes.
    pub fn bootstrap(&self) -> &[F] {
        &self.bootstrap
    }

    /// The turns, in order; together they cover every element once.
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// Number of elements of each turn, in the loss or not: the sequences of a [`PolicyBatch`](crate::loss::PolicyBatch).
    pub fn lengths(&self) -> Vec<usize> {
        self.turns.iter().map(|turn| turn.range.len()).collect()
    }

    /// The turns of each episode, as ranges into [`turns`](Self::turns).
    pub fn episodes(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut start = 0;
        self.turns.iter().enumerate().filter_map(move |(index, turn)| {
            let closes = self.boundary[turn.range.end - 1].closes();
            closes.then(|| std::mem::replace(&mut start, index + 1)..index + 1)
        })
    }

    /// Gives the chain a critic: one value per element, of the state before it.
    pub fn set_values(&mut self, values: Vec<F>) -> Result<()> {
        self.check_len("value", values.len())?;
        self.value = values;
        Ok(())
    }

    /// Replaces every reward; for shaping such as a KL penalty.
    pub fn set_rewards(&mut self, rewards: Vec<F>) -> Result<()> {
        self.check_len("reward", rewards.len())?;
        self.reward = rewards;
        Ok(())
    }

    /// Adds one reward per turn, at the last element of the turn that is in the loss, or at its last element if none is.
    pub fn add_turn_rewards(&mut self, per_turn: &[f64]) -> Result<()> {
        if per_turn.len() != self.turns.len() {
            return Err(TrajectoryError::Length {
                what: "reward per turn",
                got: per_turn.len(),
                want: self.turns.len(),
            }
            .into());
        }
        for (turn, &reward) in self.turns.iter().zip(per_turn) {
            let at = turn.range.clone().rev().find(|&i| self.in_loss[i]).unwrap_or(turn.range.end - 1);
            self.reward[at] = F::narrow(self.reward[at].wide() + reward);
        }
        Ok(())
    }

    /// Sum of the rewards of each turn, in order.
    pub fn turn_returns(&self) -> Vec<f64> {
        self.turns.iter().map(|turn| self.reward[turn.range.clone()].iter().map(|r| r.wide()).sum()).collect()
    }

    /// Sum of the rewards of each episode, in order.
    pub fn episode_returns(&self) -> Vec<f64> {
        let turns = self.turn_returns();
        self.episodes().map(|episode| turns[episode].iter().sum()).collect()
    }

    /// Spreads one number per turn over its elements; elements outside the loss get 0.
    pub fn spread_turns(&self, per_turn: &[f64]) -> Result<Vec<F>> {
        if per_turn.len() != self.turns.len() {
            return Err(TrajectoryError::Length {
                what: "number per turn",
                got: per_turn.len(),
                want: self.turns.len(),
            }
            .into());
        }
        let mut spread = vec![F::default(); self.len()];
        for (turn, &number) in self.turns.iter().zip(per_turn) {
            for i in turn.range.clone().filter(|&i| self.in_loss[i]) {
                spread[i] = F::narrow(number);
            }
        }
        Ok(spread)
    }

    /// Spreads one number per episode over its elements; elements outside the loss get 0.
    pub fn spread_episodes(&self, per_episode: &[f64]) -> Result<Vec<F>> {
        let want = self.episodes().count();
        if per_episode.len() != want {
            return Err(TrajectoryError::Length { what: "number per episode", got: per_episode.len(), want }.into());
        }
        let mut per_turn = vec![0.0; self.turns.len()];
        for (episode, &number) in self.episodes().zip(per_episode) {
            per_turn[episode].fill(number);
        }
        self.spread_turns(&per_turn)
    }

    /// Refuses a number that is not finite among the elements that any estimator would read.
    pub fn check_finite(&self) -> Result<()> {
        first_bad("reward", &self.reward, |_| true)?;
        first_bad("bootstrap value", &self.bootstrap, |_| true)?;
        first_bad("value", &self.value, |i| self.in_loss[i])?;
        first_bad("behaviour log-prob", &self.logp, |i| self.in_loss[i])
    }

    pub(crate) fn need_values(&self, estimator: &'static str) -> Result<()> {
        if self.value.len() == self.len() { Ok(()) } else { Err(TrajectoryError::NoValues { estimator }.into()) }
    }

    pub(crate) fn check_len(&self, what: &'static str, got: usize) -> Result<()> {
        let want = self.len();
        if got == want { Ok(()) } else { Err(TrajectoryError::Length { what, got, want }.into()) }
    }
}

fn first_bad<F: Real>(what: &'static str, numbers: &[F], read: impl Fn(usize) -> bool) -> Result<()> {
    match numbers.iter().enumerate().find(|&(i, x)| read(i) && !x.wide().is_finite()) {
        Some((index, x)) => Err(TrajectoryError::NotFinite { what, index, value: x.wide() }.into()),
        None => Ok(()),
    }
}
