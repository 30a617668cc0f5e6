//! Learners that sample from a cut distribution, as `top_p` and its like leave it.
//!
//! Their log-probabilities are those of what was left, and the trainer computes those of all: ratios begin below 1.

use std::collections::BTreeSet;

use marft_topologies::Team;
use marft_topologies::team::Sampling;

use super::Resolving;
use super::agents::Roster;
use crate::settings::{RolloutSettings, Stage};

impl Resolving<'_> {
    /// Warns of learners whose ratios begin below 1. Answers that are held to a form are learnt with the log-probabilities of
    /// the whole policy.
    pub(super) fn cut_sampling(&mut self, team: &Team, roster: &Roster, stages: &[Stage], rollout: &RolloutSettings) {
        if rollout.recompute_logprobs || !stages.iter().any(|stage| matches!(stage, Stage::Rl(_))) {
            return;
        }
        let mut known = BTreeSet::new();
        for (id, agent) in team.agents() {
            let label = &team.node(id).label;
            let learns = roster.learns(label) && agent.constraint.is_none() && known.insert(label);
            if let Some(cut) = cut(&agent.sampling).filter(|_| learns) {
                self.warnings.push(format!(
                    "`{label}` learns and samples with {cut}: what it says is drawn from a part of its distribution, which the \
                     trainer does not know, so that ratios begin below 1; leave that out, or set \
                     `rollout.recompute_logprobs = true`"
                ));
            }
        }
    }
}

/// The setting that cuts.
fn cut(sampling: &Sampling) -> Option<String> {
    let cuts = [
        (sampling.top_p < 1.0, format!("`top_p = {}`", sampling.top_p)),
        (sampling.top_k > 0, format!("`top_k = {}`", sampling.top_k)),
        (sampling.min_p > 0.0, format!("`min_p = {}`", sampling.min_p)),
    ];
    cuts.into_iter().find_map(|(cuts, setting)| cuts.then_some(setting))
}
