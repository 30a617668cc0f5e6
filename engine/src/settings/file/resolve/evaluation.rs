//! Evaluation on held-out tasks.

use marft_topologies::check::Code;

use super::data::Data;
use super::{Resolving, or};
use crate::settings::file::typed::EvalFile;
use crate::settings::{EvalSettings, RewardSettings};

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
}
