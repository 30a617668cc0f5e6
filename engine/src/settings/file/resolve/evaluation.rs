//! Evaluation on held-out tasks.

use marft_topologies::check::Code;

use super::data::Data;
use super::{Resolving, or};
use crate::settings::file::typed::EvalFile;
use crate::settings::{EvalSettings, RewardSettings, Stage, TrainSettings};
use crate::task::Demonstrations;

impl Resolving<'_> {
    /// How the run is evaluated.
    pub(super) fn eval(&mut self, data: &Data, reward: &[RewardSettings]) -> EvalSettings {
        let none = EvalFile::default();
        let eval = self.file.eval.as_ref().map_or(&none, |eval| &eval.value);
        self.range("tasks", eval.tasks.as_ref(), |tasks| tasks > 0, "there would be nothing to measure");
        self.range("samples", eval.samples.as_ref(), |samples| samples > 0, "a task needs an episode");
        self.range("temperature", eval.temperature.as_ref(), |t| t >= 0.0, "it must not be negative");
        if let (Some(samples), Some(temperature)) = (&eval.samples, &eval.temperature)
            && samples.value > 1
            && temperature.value == 0.0
        {
            let message = "greedy episodes of one task are all the same: more than one has no effect";
            let help = "set `samples = 1`, or a temperature above 0";
            self.report(Code::BadCombination, message, samples.span, help);
        }
        if let Some(column) = &eval.cluster {
            self.column(data, column, column.span);
        }
        if let Some(metric) = &eval.metric
            && !reward.iter().any(|term| term.name == metric.value)
        {
            self.unknown("reward", metric, metric.span, reward.iter().map(|term| term.name.as_str()));
        }
        EvalSettings {
            every: or(eval.every.as_ref(), 0),
            before: or(eval.before.as_ref(), true),
            tasks: eval.tasks.as_ref().map(|tasks| usize::try_from(tasks.value).unwrap_or(usize::MAX)),
            samples: or(eval.samples.as_ref(), 1),
            temperature: eval.temperature.as_ref().map(|temperature| temperature.value),
            cluster: eval.cluster.as_ref().map(|column| column.value.clone()),
            metric: eval.metric.as_ref().map(|metric| metric.value.clone()),
        }
    }

    /// Warns of evaluations, and of an early stop, that would come after the last step.
    pub(super) fn too_late(&mut self, eval: &EvalSettings, train: &TrainSettings, stages: &[Stage]) {
        // demonstrations that cannot be read have been reported
        let Some(ends) = ends(stages) else { return };
        let last = ends.last().copied().unwrap_or(0).min(train.budget.steps.unwrap_or(u64::MAX));
        if last == 0 || eval.every == 0 {
            return;
        }
        if eval.every > last {
            self.warnings.push(format!(
                "`eval.every = {}` is more than the {last} steps of the run: no evaluation comes before a stage ends",
                eval.every
            ));
        }
        let Some(stop) = train.early_stop else { return };
        let of_stages = ends.iter().filter(|end| **end < last && !end.is_multiple_of(eval.every)).count() as u64;
        let before = (last - 1) / eval.every + of_stages;
        // the first has nothing to be better than
        if before <= u64::from(stop.patience) {
            self.warnings.push(format!(
                "`early_stop.patience = {}` is never reached: {before} evaluations come before the last of {last} steps, \
                 and the first of them has nothing to improve on",
                stop.patience
            ));
        }
    }
}

/// The last step of each stage that has one, counted over all; `None` where that cannot be known.
fn ends(stages: &[Stage]) -> Option<Vec<u64>> {
    let mut last = 0_u64;
    let mut ends = Vec::new();
    for stage in stages {
        let steps = match stage {
            Stage::Sft(sft) => sft.steps(Demonstrations::read(&sft.demonstrations).ok()?.len()),
            Stage::Rl(rl) => rl.steps,
            Stage::Rft(rft) => rft.steps,
        };
        last = last.saturating_add(steps);
        ends.extend((steps > 0).then_some(last));
    }
    Some(ends)
}
