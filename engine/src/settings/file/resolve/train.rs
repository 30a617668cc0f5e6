//! Updates, rollouts and saving.

use std::time::Duration;

use marft_agents::train::Decay;
use marft_topologies::check::Code;

use super::data::Data;
use super::{Resolving, count, or};
use crate::settings::file::typed::{CheckpointFile, DecayWord, LongContextWord, RolloutFile, TrainFile};
use crate::settings::{
    Budget, CheckpointSettings, DeviceName, EarlyStop, LongContext, ModelSettings, RolloutSettings, TrainSettings,
};

/// Most tasks of a step; more of them are a slip of the pen.
const MOST_TASKS: u64 = 1 << 20;

impl Resolving<'_> {
    /// Updates.
    pub(super) fn train(&mut self, model: &ModelSettings) -> TrainSettings {
        let none = TrainFile::default();
        let train = self.file.train.as_ref().map_or(&none, |train| &train.value);
        let share = |beta: f64| (0.0..1.0).contains(&beta);
        self.range("beta1", train.beta1.as_ref(), share, "it lies in [0, 1)");
        self.range("beta2", train.beta2.as_ref(), share, "it lies in [0, 1)");
        self.range("steps", train.steps.as_ref(), |steps| steps > 0, "no step trains nothing");
        self.range("batch_tokens", train.batch_tokens.as_ref(), |tokens| tokens > 0, "a pass needs a token");
        let pass = if model.device == DeviceName::Cpu { 4096 } else { 16_384 };
        TrainSettings {
            steps: or(train.steps.as_ref(), 100),
            beta1: or(train.beta1.as_ref(), 0.9),
            beta2: or(train.beta2.as_ref(), 0.999),
            decay: match or(train.decay.as_ref(), DecayWord::Constant) {
                DecayWord::Constant | DecayWord::ConstantWithWarmup => Decay::Constant,
                DecayWord::Linear => Decay::Linear,
                DecayWord::Cosine => Decay::Cosine,
            },
            warmup: or(train.warmup.as_ref(), 0),
            batch_tokens: count(train.batch_tokens.as_ref(), pass),
            checkpointing: or(train.checkpointing.as_ref(), false),
            max_bad_updates: or(train.max_bad_updates.as_ref(), 3),
            budget: self.budget(train),
            early_stop: self.early_stop(train),
        }
    }

    fn budget(&mut self, train: &TrainFile) -> Budget {
        let Some(budget) = &train.budget else { return Budget::default() };
        for (key, limit) in [("steps", &budget.steps), ("episodes", &budget.episodes), ("tokens", &budget.tokens)] {
            self.range(key, limit.as_ref(), |limit| limit > 0, "nothing would ever run");
        }
        self.range("seconds", budget.seconds.as_ref(), |seconds| seconds > 0.0, "nothing would ever run");
        let budget = Budget {
            steps: budget.steps.as_ref().map(|limit| limit.value),
            episodes: budget.episodes.as_ref().map(|limit| limit.value),
            tokens: budget.tokens.as_ref().map(|limit| limit.value),
            seconds: budget.seconds.as_ref().map(|limit| limit.value),
        };
        if let (Some(typed), true) = (&train.budget, budget == Budget::default()) {
            let message = "a budget without a limit has no effect";
            self.report(Code::BadCombination, message, typed.span, "give `steps`, `episodes`, `tokens` or `seconds`");
        }
        budget
    }

    fn early_stop(&mut self, train: &TrainFile) -> Option<EarlyStop> {
        let stop = train.early_stop.as_ref()?;
        self.range("patience", stop.patience.as_ref(), |patience| patience > 0, "wait for at least one evaluation");
        self.range("min_delta", stop.min_delta.as_ref(), |delta| delta >= 0.0, "it must not be negative");
        let every = self.file.eval.as_ref().and_then(|eval| eval.every.as_ref());
        if or(every, 0) == 0 {
            let message = "`early_stop` has no effect: nothing is evaluated before the end";
            self.report(Code::BadCombination, message, stop.span, "set `eval.every`");
        }
        Some(EarlyStop { patience: stop.patience.as_ref()?.value, min_delta: or(stop.min_delta.as_ref(), 0.0) })
    }

    /// Rollouts.
    pub(super) fn rollout(&mut self, data: &Data) -> RolloutSettings {
        let none = RolloutFile::default();
        let rollout = self.file.rollout.as_ref().map_or(&none, |rollout| &rollout.value);
        self.range(
            "tasks",
            rollout.tasks.as_ref(),
            |tasks| (1..=MOST_TASKS).contains(&tasks),
            "it lies from 1 to 1048576",
        );
        self.range("concurrency", rollout.concurrency.as_ref(), |most| most > 0, "no episode could ever open");
        let limit = |most: f64| most > 0.0 && Duration::try_from_secs_f64(most).is_ok();
        self.range("turn_seconds", rollout.turn_seconds.as_ref(), limit, "it lies between 0 and 1.8e19");
        let tasks = count(rollout.tasks.as_ref(), 16);
        let rows = data.splits.as_ref().map(|splits| splits.train.len());
        if let Some(rows) = rows.filter(|rows| *rows < tasks) {
            self.warnings.push(format!("a step takes {tasks} tasks and there are {rows} to train on: some come twice"));
        }
        RolloutSettings {
            tasks,
            concurrency: count(rollout.concurrency.as_ref(), 256),
            retries: or(rollout.retries.as_ref(), 2),
            recompute_logprobs: or(rollout.recompute_logprobs.as_ref(), false),
            long_context: match or(rollout.long_context.as_ref(), LongContextWord::Refuse) {
                LongContextWord::Refuse => LongContext::Refuse,
                LongContextWord::TruncateOldest => LongContext::TruncateOldest,
                LongContextWord::Summarise => LongContext::Summarise,
            },
            turn_seconds: rollout.turn_seconds.as_ref().map(|seconds| seconds.value),
        }
    }

    /// When the run is saved.
    pub(super) fn checkpoint(&mut self) -> CheckpointSettings {
        let none = CheckpointFile::default();
        let checkpoint = self.file.checkpoint.as_ref().map_or(&none, |checkpoint| &checkpoint.value);
        let every = or(checkpoint.every.as_ref(), 10);
        if let (Some(keep), 0) = (&checkpoint.keep, every) {
            let message = "`keep` has no effect: with `every = 0` the last step alone is saved";
            self.report(Code::BadCombination, message, keep.span, "leave it out, or set `every`");
        }
        CheckpointSettings { every, keep: count(checkpoint.keep.as_ref(), 3) }
    }
}
