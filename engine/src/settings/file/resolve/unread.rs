//! Settings that no stage of the run reads, and those that last longer than it: a critic that warms up until the end, a
//! learning rate that rises until then.

use std::collections::{BTreeMap, BTreeSet};

use marft_algorithms::preset::{Algorithm, ScheduleKind};
use marft_topologies::check::Code;
use marft_topologies::source::{Span, Spanned};

use super::{Resolving, start};
use crate::settings::file::typed::{StageFile, StageWord};
use crate::settings::{RolloutSettings, Stage};

/// The names of the setting that says how long a critic warms up.
const WARM_UP: [&str; 2] = ["warm_up_steps", "warmup_steps"];

/// In so many steps whoever takes turns has had one.
const MANY_STEPS: u64 = 100_000;

impl Resolving<'_> {
    /// Reports what is set for episodes where none are rolled out, and for reinforcement learning where there is none.
    pub(super) fn unread(&mut self, stages: &[Spanned<StageFile>]) {
        let mut kinds = stages.iter().map(|stage| stage.kind.as_ref().map(|kind| kind.value));
        // a stage whose kind is wrong may be any
        let any = |wanted: &[StageWord]| kinds.clone().any(|kind| kind.is_none_or(|kind| wanted.contains(&kind)));
        let (rolls_out, reinforces) = (any(&[StageWord::Rl, StageWord::Rft]), any(&[StageWord::Rl]));
        if stages.is_empty() || kinds.all(|kind| kind == Some(StageWord::Rl)) {
            return;
        }
        if !rolls_out {
            for (key, span) in self.of_episodes() {
                let message = format!("`{key}` has no effect: no stage rolls out episodes");
                self.report(Code::BadCombination, message, span, "leave it out, or add a stage `rl` or `rft`");
            }
        }
        if !reinforces {
            for (key, span) in self.of_reinforcement() {
                let message = format!("`{key}` has no effect: there is no stage `rl`");
                self.report(Code::BadCombination, message, span, "leave it out, or add a stage `rl`");
            }
        }
    }

    fn of_episodes(&self) -> Vec<(&'static str, Span)> {
        let budget = self.file.train.as_ref().and_then(|train| train.budget.as_ref());
        let tasks = self.file.rollout.as_ref().and_then(|rollout| rollout.tasks.as_ref());
        let curriculum = self.file.task.as_ref().and_then(|task| task.curriculum.as_ref());
        let mixture = self.file.task.as_ref().and_then(|task| task.mixture.as_ref());
        let typed = [
            ("task.mixture", mixture.map(|typed| typed.span)),
            ("rollout.tasks", tasks.map(|typed| typed.span)),
            ("task.curriculum", curriculum.map(|typed| typed.span)),
            ("budget.episodes", budget.and_then(|budget| budget.episodes.as_ref()).map(|typed| typed.span)),
            ("budget.tokens", budget.and_then(|budget| budget.tokens.as_ref()).map(|typed| typed.span)),
        ];
        typed.into_iter().filter_map(|(key, span)| Some((key, span?))).collect()
    }

    fn of_reinforcement(&self) -> Vec<(&'static str, Span)> {
        let critic = self.file.model.as_ref().and_then(|model| model.critic.as_ref());
        let recompute = self.file.rollout.as_ref().and_then(|rollout| rollout.recompute_logprobs.as_ref());
        let typed = [
            ("model.critic", critic.map(|typed| typed.span)),
            ("rollout.recompute_logprobs", recompute.map(|typed| typed.span)),
        ];
        typed.into_iter().filter_map(|(key, span)| Some((key, span?))).collect()
    }

    /// Reports a warm-up that outlasts the run, where an episode is one step of its environment.
    pub(super) fn warm_up(
        &mut self,
        algorithms: &BTreeMap<String, Algorithm>,
        rollout: &RolloutSettings,
        stages: &[Stage],
    ) {
        let steps = stages.iter().map(|stage| if let Stage::Rl(rl) = stage { rl.steps } else { 0 });
        let steps = steps.fold(0, u64::saturating_add);
        for (label, algorithm) in algorithms {
            let a_step = (rollout.tasks as u64).saturating_mul(u64::from(algorithm.group_size));
            // the last batch is learnt from before its own steps count
            let all = steps.saturating_sub(1).saturating_mul(a_step);
            if algorithm.warm_up_steps <= all || steps == 0 {
                continue;
            }
            let typed = self.file.algorithm.as_ref();
            let own = typed.iter().flat_map(|typed| typed.agents.iter()).filter(|(name, _)| name.value == *label);
            let own = own.flat_map(|(_, settings)| settings.0.iter());
            let mut keys = own.chain(typed.iter().flat_map(|typed| typed.settings.iter()));
            let key = keys.find(|(name, _)| WARM_UP.contains(&name.value.as_str()));
            let message = format!(
                "`{label}` would never learn: the critic warms up for {} steps of the environment, and the run has {all} \
                 before its last update",
                algorithm.warm_up_steps
            );
            let span = key.map_or_else(start, |(_, value)| value.span);
            self.report(Code::BadCombination, message, span, "shorten the warm-up, or train for longer");
            return;
        }
    }

    /// Warns where agents that learn by turns never all get theirs, if an episode is one step of its environment.
    pub(super) fn interval(
        &mut self,
        algorithms: &BTreeMap<String, Algorithm>,
        rollout: &RolloutSettings,
        stages: &[Stage],
    ) {
        let Some(algorithm) = algorithms.values().next() else { return };
        let alike = |other: &Algorithm| {
            (other.schedule, other.update_interval, other.update_offset)
                == (algorithm.schedule, algorithm.update_interval, algorithm.update_offset)
        };
        let agents = algorithms.len();
        if algorithm.schedule != ScheduleKind::Interval || agents < 2 || !algorithms.values().all(alike) {
            return;
        }
        let steps = stages.iter().map(|stage| if let Stage::Rl(rl) = stage { rl.steps } else { 0 });
        let steps = steps.fold(0, u64::saturating_add).min(MANY_STEPS);
        let a_step = (rollout.tasks as u64).saturating_mul(u64::from(algorithm.group_size));
        let schedule = algorithm.schedule(0, &[]);
        let learners: BTreeSet<u32> = (0..steps)
            .filter_map(|step| {
                schedule
                    .learners(algorithm.environment_steps(step.saturating_mul(a_step), a_step), step, agents as u32)
                    .ok()
            })
            .flatten()
            .collect();
        if steps > 0 && learners.len() < agents {
            self.warnings.push(format!(
                "only {} of {agents} agents ever learn: they take turns every {} steps of the environment, a batch has {a_step}, \
                 and there are {steps} batches; update_interval = {a_step} changes the agent with every batch",
                learners.len(),
                algorithm.update_interval
            ));
        }
    }

    /// Warns of a warm-up of the learning rate that outlasts a stage.
    pub(super) fn rise(&mut self, warmup: u64, stages: &[Stage], algorithms: &BTreeMap<String, Algorithm>) {
        for stage in stages {
            let updates = match stage {
                // how many demonstrations there are is known later
                Stage::Sft(_) => continue,
                Stage::Rl(rl) => {
                    let a_step = algorithms.values().map(|own| u64::from(own.epochs) * u64::from(own.mini_batches));
                    rl.steps.saturating_mul(a_step.max().unwrap_or(1))
                }
                Stage::Rft(rft) => rft.steps.saturating_mul(u64::from(rft.epochs)),
            };
            if warmup >= updates {
                self.warnings.push(format!(
                    "the learning rate rises for {warmup} updates, and the stage `{}` makes {updates}: it never gets there",
                    stage.name()
                ));
            }
        }
    }
}
