//! Groups: which samples are compared with one another.
//!
//! Every group-relative estimator subtracts what the *other* samples of the same situation earned. What counts as the
//! same situation is the [`GroupKey`]; the estimators themselves only see one dense group number per sample. A group of
//! one has nobody to compare with, and is never silently given its raw reward.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::AdvantageError;
use crate::Result;
use crate::trajectory::{Chain, Real, TurnIds};

/// What two turns must share to be compared. All keys compare within one task only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupKey {
    /// The task alone (GRPO).
    #[default]
    Task,
    /// Task and agent (Dr.MAS).
    Agent,
    /// Task and role: agents with the same prompt are compared.
    Role,
    /// Task and environment step (MAGRPO).
    Turn,
    /// Task, agent and environment step (AT-GRPO).
    AgentTurn,
    /// Task and node of the team graph or of the tree of attempts.
    Node,
}

impl GroupKey {
    fn of(self, ids: &TurnIds) -> [u32; 3] {
        let [second, third] = match self {
            Self::Task => [0, 0],
            Self::Agent => [ids.agent, 0],
            Self::Role => [ids.role, 0],
            Self::Turn => [0, ids.step],
            Self::AgentTurn => [ids.agent, ids.step],
            Self::Node => [ids.node, 0],
        };
        [ids.group, second, third]
    }

    /// One dense group number per turn of `chain`, numbered in order of first appearance.
    pub fn turns<F: Real>(self, chain: &Chain<F>) -> Vec<u32> {
        dense(chain.turns().iter().map(|turn| self.of(&turn.ids)))
    }
}

/// One dense group number per episode of `chain`: episodes of one task form a group.
pub fn episode_groups<F: Real>(chain: &Chain<F>) -> Vec<u32> {
    dense(chain.episodes().map(|episode| chain.turns()[episode.start].ids.group))
}

/// Numbers keys densely in order of first appearance.
pub fn dense<K: Ord>(keys: impl IntoIterator<Item = K>) -> Vec<u32> {
    let mut numbers = BTreeMap::new();
    keys.into_iter()
        .map(|key| {
            let next = numbers.len() as u32;
            *numbers.entry(key).or_insert(next)
        })
        .collect()
}

/// Positions of the samples that are alone in their group; leave them out, or sample again.
pub fn lone_samples(groups: &[u32]) -> Vec<usize> {
    let mut sizes = BTreeMap::new();
    for group in groups {
        *sizes.entry(group).or_insert(0_usize) += 1;
    }
    (0..groups.len()).filter(|&i| sizes[&groups[i]] == 1).collect()
}

/// What to do with a group of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoneGroups {
    /// Refuse the batch.
    #[default]
    Refuse,
    /// Give the sample advantage 0 and report the group; still refuse when no group has two samples. For estimators
    /// whose groups thin out by themselves, such as late turns of episodes of unequal length.
    Zero,
}

/// The denominator of a group-relative advantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Std {
    /// Divide by the standard deviation with n - 1 (torch's default, TRL, verl).
    #[default]
    Unbiased,
    /// Divide by the standard deviation with n.
    Biased,
    /// Do not divide.
    None,
}

impl Std {
    /// The deviation of `centred`, whose mean is zero; 0 where fewer than two numbers leave it undefined.
    pub(crate) fn of(self, centred: impl ExactSizeIterator<Item = f64>) -> f64 {
        let degrees = match self {
            Self::Unbiased => centred.len().saturating_sub(1),
            Self::Biased => centred.len(),
            Self::None => return 1.0,
        };
        if degrees == 0 { 0.0 } else { (centred.map(|x| x * x).sum::<f64>() / degrees as f64).sqrt() }
    }
}

/// Advantages by sample, and what an honest report needs to say about the groups.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupAdvantages {
    /// One advantage per sample, in the order of the input.
    pub advantage: Vec<f64>,
    /// Groups whose members all earned the same: they teach nothing. In order of first appearance.
    pub uniform: Vec<u32>,
    /// Groups of one that were given advantage 0.
    pub lone: Vec<u32>,
    /// Number of groups.
    pub groups: usize,
}

impl GroupAdvantages {
    /// Share of the groups that teach nothing, in \[0, 1\]. At 1 learning has collapsed: explore more, or change tasks.
    pub fn uniform_share(&self) -> f64 {
        self.uniform.len() as f64 / self.groups.max(1) as f64
    }
}

/// The members of each group, checked: the common first half of every group estimator.
pub(crate) struct Members {
    /// Positions of the samples of each group that has at least two.
    pub(crate) groups: Vec<(u32, Vec<usize>)>,
    pub(crate) lone: Vec<u32>,
    pub(crate) samples: usize,
}

impl Members {
    pub(crate) fn new(
        estimator: &'static str,
        rewards: &[f64],
        groups: &[u32],
        lone_groups: LoneGroups,
    ) -> Result<Self> {
        if rewards.is_empty() {
            return Err(AdvantageError::Empty { estimator }.into());
        }
        if groups.len() != rewards.len() {
            return Err(AdvantageError::Length { what: "group number", got: groups.len(), want: rewards.len() }.into());
        }
        check_finite("reward", rewards)?;
        let mut members: Vec<(u32, Vec<usize>)> = Vec::new();
        let mut places = BTreeMap::new();
        for (sample, &group) in groups.iter().enumerate() {
            let place = *places.entry(group).or_insert(members.len());
            if place == members.len() {
                members.push((group, Vec::new()));
            }
            members[place].1.push(sample);
        }
        let lone: Vec<u32> =
            members.iter().filter(|(_, samples)| samples.len() == 1).map(|&(group, _)| group).collect();
        if let Some(&group) = lone.first()
            && (lone_groups == LoneGroups::Refuse || lone.len() == members.len())
        {
            return Err(AdvantageError::GroupTooSmall { estimator, group, size: 1 }.into());
        }
        members.retain(|(_, samples)| samples.len() > 1);
        Ok(Self { groups: members, lone, samples: rewards.len() })
    }

    /// Applies `member` to the rewards of each group; it returns the advantages of that group in the same order.
    pub(crate) fn map(self, rewards: &[f64], mut member: impl FnMut(&[f64]) -> Vec<f64>) -> GroupAdvantages {
        let mut advantage = vec![0.0; self.samples];
        let mut uniform = Vec::new();
        let groups = self.groups.len() + self.lone.len();
        for (group, samples) in self.groups {
            let earned: Vec<f64> = samples.iter().map(|&i| rewards[i]).collect();
            if earned.iter().all(|&r| r == earned[0]) {
                uniform.push(group);
                continue;
            }
            for (sample, a) in samples.into_iter().zip(member(&earned)) {
                advantage[sample] = a;
            }
        }
        GroupAdvantages { advantage, uniform, lone: self.lone, groups }
    }
}

pub(crate) fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

pub(crate) fn check_finite(what: &'static str, numbers: &[f64]) -> Result<()> {
    match numbers.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(AdvantageError::NotFinite { what, index, value: numbers[index] }.into()),
        None => Ok(()),
    }
}

pub(crate) fn check_setting(
    name: &'static str,
    value: f64,
    allowed: std::ops::RangeInclusive<f64>,
    range: &'static str,
    hint: &'static str,
) -> Result<()> {
    if allowed.contains(&value) { Ok(()) } else { Err(AdvantageError::Setting { name, value, range, hint }.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_numbered_in_order_of_first_appearance() {
        assert_eq!(dense(["b", "a", "b", "c"]), [0, 1, 0, 2]);
    }

    #[test]
    fn the_key_decides_who_is_compared() {
        let ids = TurnIds { episode: 9, step: 2, agent: 3, policy: 8, role: 4, group: 1, node: 5 };
        assert_eq!(GroupKey::Task.of(&ids), [1, 0, 0]);
        assert_eq!(GroupKey::Agent.of(&ids), [1, 3, 0]);
        assert_eq!(GroupKey::Turn.of(&ids), [1, 0, 2]);
        assert_eq!(GroupKey::AgentTurn.of(&ids), [1, 3, 2]);
        assert_eq!(GroupKey::Role.of(&ids), [1, 4, 0]);
        assert_eq!(GroupKey::Node.of(&ids), [1, 5, 0]);
    }

    #[test]
    fn a_lone_sample_is_found() {
        assert_eq!(lone_samples(&[0, 1, 0, 2]), [1, 3]);
    }

    #[test]
    fn lone_groups_are_reported_but_a_batch_of_nothing_else_is_refused() {
        let members = Members::new("test", &[1.0, 2.0, 3.0], &[0, 0, 7], LoneGroups::Zero).unwrap();
        assert_eq!(members.lone, [7]);
        assert!(Members::new("test", &[1.0, 2.0], &[0, 1], LoneGroups::Zero).is_err());
        assert!(Members::new("test", &[1.0, 2.0, 3.0], &[0, 0, 7], LoneGroups::Refuse).is_err());
    }

    #[test]
    fn a_nan_reward_is_named() {
        let refused = Members::new("test", &[1.0, f64::NAN], &[0, 0], LoneGroups::Refuse).err().unwrap();
        assert!(refused.to_string().contains("position 1"), "{refused}");
    }
}
