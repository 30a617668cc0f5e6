//! How a run shows itself: a bar with the latest numbers on a terminal, plain lines otherwise. Both go to stderr.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use marft::engine::trainer::{Evaluation, Event, Measures, Observer, Sampling, Served, StepReport};

/// Shows a run.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    stage: &'static str,
    started: Instant,
    /// Steps that were done before this process.
    before: u64,
}

impl Progress {
    /// A bar where stderr is a terminal.
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar:.cyan/dim} {pos}/{len}  {msg}") {
                bar.set_style(style.progress_chars("━╸─"));
            }
            bar
        });
        Self { bar, stage: "", started: Instant::now(), before: 0 }
    }

    /// Says a line without tearing the bar.
    pub(super) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            // nobody is left to be told when stderr fails
            None => drop(writeln!(std::io::stderr(), "{text}")),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn step(&mut self, step: u64, of: u64, report: &StepReport, measures: &Measures) {
        let numbers = numbers(report, measures);
        let done = step - self.before;
        let each = self.started.elapsed().checked_div(u32::try_from(done.max(1)).unwrap_or(u32::MAX));
        let left = each.unwrap_or_default().saturating_mul(u32::try_from(of - step).unwrap_or(u32::MAX));
        match &self.bar {
            Some(bar) => {
                bar.set_length(of);
                bar.set_position(step);
                bar.set_message(format!("{numbers}  {} left", clock(left)));
            }
            None => self.line(&format!("step {step}/{of} {}  {numbers}  {} left", self.stage, clock(left))),
        }
    }
}

impl Observer for Progress {
    fn notice(&mut self, event: &Event<'_>) {
        match event {
            Event::Resumed { step, rejected } => {
                self.before = *step;
                for reason in rejected {
                    self.line(&passed_over(reason));
                }
                self.line(&format!("going on after step {step}"));
            }
            Event::Stage { name, first, steps } => {
                self.stage = name;
                if let Some(bar) = &self.bar {
                    bar.set_prefix((*name).to_owned());
                }
                self.line(&format!("stage {name}: steps {first} to {}", first + steps - 1));
            }
            Event::Step { step, of, report, measures } => self.step(*step, *of, report, measures),
            Event::Evaluated(found) => {
                self.line(&evaluation(found));
            }
            Event::Unscored { step, fault } => {
                self.line(&format!(
                    "warning: held out after step {step}: every episode broke; the first fault: {fault}"
                ));
            }
            Event::Starved { step, sampling } => {
                let Sampling { kept, wanted, rounds, .. } = sampling;
                self.line(&format!(
                    "warning: step {step}: dynamic sampling gave up after {rounds} rounds: {kept} of {wanted} groups \
                     disagree, and nothing is learnt from the others; hint: choose tasks that are solved sometimes, or raise \
                     max_sampling_rounds"
                ));
            }
            Event::Warned { step, warning } => self.line(&format!("warning: step {step}: {}", warning.message())),
            Event::Served(served) => served_lines(served).iter().for_each(|line| self.line(line)),
            _ => {}
        }
    }
}

/// What came of pushing an adapter to a server.
fn served_lines(served: &Served) -> Vec<String> {
    let Served { step, policy, url, outcome, kept } = served;
    let first = match outcome {
        Ok(name) => format!("`{policy}` after step {step} is served as `{name}` by {url}"),
        Err(reason) => format!("warning: step {step}: the adapter of `{policy}` was not pushed to {url}: {reason}"),
    };
    let kept = kept.iter().map(|(name, reason)| format!("warning: step {step}: {url} still holds `{name}`: {reason}"));
    std::iter::once(first).chain(kept).collect()
}

/// A checkpoint that is damaged.
pub(super) fn passed_over(rejected: &impl std::fmt::Display) -> String {
    format!("warning: passed over a damaged checkpoint: {rejected}")
}

/// An evaluation in one line.
pub(super) fn evaluation(found: &Evaluation) -> String {
    let score = &found.score;
    let mut line = format!(
        "held out after step {}: {:.3} [{:.3}, {:.3}] on {} episodes of {} clusters",
        found.step, score.mean, score.low, score.high, score.observations, score.clusters
    );
    if let Some(gain) = &found.gain {
        line += &format!("; {:+.3} [{:+.3}, {:+.3}] against the untrained team", gain.mean, gain.low, gain.high);
    }
    if found.faults > 0 {
        line += &format!("; {} broke", found.faults);
    }
    line
}

/// The numbers of a step that matter while one watches.
fn numbers(report: &StepReport, measures: &Measures) -> String {
    let mut parts = vec![];
    if !report.records.is_empty() {
        parts.push(format!("reward {:.3}", measures.get("reward/total").unwrap_or_default()));
    }
    if let Some(learnt) = &report.learnt {
        let taught: Vec<_> = learnt.policies.values().filter(|policy| policy.tokens > 0).collect();
        let mean = |of: fn(&marft::engine::learn::PolicyReport) -> f64| {
            taught.iter().map(|policy| of(policy)).sum::<f64>() / taught.len().max(1) as f64
        };
        parts.push(format!("kl {:.4}", mean(|policy| policy.approx_kl)));
        parts.push(format!("entropy {:.2}", mean(|policy| policy.entropy)));
    }
    if let Some(taught) = report.taught.as_ref().filter(|taught| !taught.loss.is_empty()) {
        let mean = taught.loss.values().sum::<f64>() / taught.loss.len() as f64;
        parts.push(format!("loss {mean:.3}"));
    }
    let tokens = measures.get("tokens").or_else(|| measures.get("rows")).unwrap_or_default();
    let seconds = (report.rollout + report.learning).as_secs_f64();
    if seconds > 0.0 {
        parts.push(format!("{:.0} tokens/s", tokens / seconds));
    }
    parts.join("  ")
}

/// A time that people can read.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_that_failed_names_policy_server_and_reason() {
        let url = "http://gpu-1:8000/v1".to_owned();
        let served =
            Served { step: 4, policy: "solver".to_owned(), url, outcome: Ok("solver-v4".to_owned()), kept: vec![] };
        assert_eq!(served_lines(&served), ["`solver` after step 4 is served as `solver-v4` by http://gpu-1:8000/v1"]);
        let kept = vec![("solver-v2".to_owned(), "403".to_owned())];
        let served = Served { outcome: Err("no answer".to_owned()), kept, ..served };
        let [failed, kept] = served_lines(&served).try_into().unwrap();
        assert_eq!(
            failed,
            "warning: step 4: the adapter of `solver` was not pushed to http://gpu-1:8000/v1: no answer"
        );
        assert_eq!(kept, "warning: step 4: http://gpu-1:8000/v1 still holds `solver-v2`: 403");
    }

    #[test]
    fn times_read_well() {
        for (seconds, text) in [(7, "7s"), (61, "1m01s"), (7322, "2h02m")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
