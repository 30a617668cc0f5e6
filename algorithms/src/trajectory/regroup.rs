//! The same elements linked differently: one chain per agent, or one element per action.

use std::collections::BTreeMap;

use super::{Boundary, Chain, Real, Turn, TurnIds};
use crate::Result;

/// A chain with its elements in another order, and the way back.
#[derive(Debug, Clone, PartialEq)]
pub struct Regrouped<F = f32> {
    /// The regrouped chain.
    pub chain: Chain<F>,
    /// For each element of the regrouped chain, its position in the original.
    pub source: Vec<usize>,
}

impl<F: Real> Regrouped<F> {
    /// Puts numbers computed on the regrouped chain back in the order of the original.
    ///
    /// `numbers` has one entry per element of the regrouped chain.
    pub fn restore(&self, numbers: &[F]) -> Result<Vec<F>> {
        self.chain.check_len("number to restore", numbers.len())?;
        let mut restored = vec![F::default(); numbers.len()];
        for (&to, &number) in self.source.iter().zip(numbers) {
            restored[to] = number;
        }
        Ok(restored)
    }
}

impl<F: Real> Chain<F> {
    /// Links each agent's own turns to one another, and to nobody else's: independent learners.
    ///
    /// Within an episode the turns are sorted by agent, then in their old order; every border between two turns of one
    /// agent becomes [`Boundary::Step`], the last takes the close of the episode. Without dependencies between agents
    /// (D = 0) the result does not depend on the order in which the agents acted inside a step.
    ///
    /// What an agent said in an episode is an episode of its own, so `episode` and `group` are numbered anew: nobody is
    /// compared with another agent.
    pub fn per_agent(&self) -> Regrouped<F> {
        let mut chain = Self::default();
        let mut source = Vec::with_capacity(self.len());
        let mut truncated = 0;
        let (mut episodes, mut groups) = (Numbers::default(), Numbers::default());
        for episode in self.episodes() {
            let mut order: Vec<usize> = episode.collect();
            let last = order[order.len() - 1];
            let close = self.boundary[self.turns[last].range.end - 1];
            let bootstrap = (close == Boundary::Truncated).then(|| self.bootstrap[truncated]);
            truncated += usize::from(bootstrap.is_some());
            order.sort_by_key(|&turn| self.turns[turn].ids.agent);
            for (at, &turn) in order.iter().enumerate() {
                let agent = self.turns[turn].ids.agent;
                let more = order.get(at + 1).is_some_and(|&next| self.turns[next].ids.agent == agent);
                let start = source.len();
                source.extend(self.turns[turn].range.clone());
                chain.boundary.extend_from_slice(&self.boundary[self.turns[turn].range.clone()]);
                let ids = self.turns[turn].ids;
                let (episode, group) = (episodes.of((ids.episode, agent)), groups.of((ids.group, agent)));
                chain.turns.push(Turn { ids: TurnIds { episode, group, ..ids }, range: start..source.len() });
                let border = source.len() - 1;
                chain.boundary[border] = if more { Boundary::Step } else { close };
                if !more {
                    chain.bootstrap.extend(bootstrap);
                }
            }
        }
        let pick = |from: &[F]| if from.is_empty() { Vec::new() } else { source.iter().map(|&i| from[i]).collect() };
        chain.reward = pick(&self.reward);
        chain.value = pick(&self.value);
        chain.logp = pick(&self.logp);
        chain.in_loss = source.iter().map(|&i| self.in_loss[i]).collect();
        Regrouped { chain, source }
    }

    /// One element per turn: the action level.
    ///
    /// The reward is the sum over the turn, the log-probability the sum over its elements in the loss, the value that
    /// of the first element in the loss (the state in which the action was chosen). A turn with nothing in the loss
    /// stays outside it.
    #[must_use]
    pub fn actions(&self) -> Self {
        let mut chain = Self { bootstrap: self.bootstrap.clone(), ..Self::default() };
        for (index, turn) in self.turns.iter().enumerate() {
            let elements = turn.range.clone();
            let trained = || elements.clone().filter(|&i| self.in_loss[i]);
            let first = trained().next();
            chain.reward.push(F::narrow(elements.clone().map(|i| self.reward[i].wide()).sum()));
            chain.logp.push(F::narrow(trained().map(|i| self.logp[i].wide()).sum()));
            if !self.value.is_empty() {
                chain.value.push(first.map_or(F::default(), |i| self.value[i]));
            }
            chain.in_loss.push(first.is_some());
            chain.boundary.push(self.boundary[elements.end - 1]);
            chain.turns.push(Turn { ids: turn.ids, range: index..index + 1 });
        }
        chain
    }
}

/// Numbers for keys, in order of first appearance.
#[derive(Default)]
struct Numbers(BTreeMap<(u32, u32), u32>);

impl Numbers {
    fn of(&mut self, key: (u32, u32)) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(key).or_insert(next)
    }
}
