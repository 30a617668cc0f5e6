//! Measures: a step's episodes and updates as named numbers.

use std::collections::BTreeMap;

use marft_agents::generate::PolicyId;
use serde_json::{Map, Value};

use super::{StepReport, Trainer};
use crate::episode::{EpisodeRecord, FaultKind, TurnRecord};
use crate::learn::{LearnReport, SupervisedReport};

/// Named numbers of one step, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measures(pub Map<String, Value>);

impl Measures {
    /// A step as named numbers.
    pub fn of(report: &StepReport, trainer: &Trainer) -> Self {
        let mut measures = Self::default();
        let names = trainer.roster().names();
        if !report.records.is_empty() {
            measures.episodes(&report.records);
        }
        if let Some(sampling) = &report.sampling {
            measures.set("sampling/rounds", sampling.rounds as f64);
            let all = report.records.len();
            measures.set("sampling/thrown_away", share(all - sampling.episodes.min(all), all));
        }
        if let Some(learnt) = &report.learnt {
            measures.learnt(learnt, &names);
        }
        if let Some(taught) = &report.taught {
            measures.taught(taught, &names);
        }
        let (rollout, learning) = (report.rollout.as_secs_f64(), report.learning.as_secs_f64());
        measures.set("seconds/rollout", rollout);
        measures.set("seconds/learning", learning);
        if let Some(tokens) = measures.get("tokens").filter(|_| rollout > 0.0) {
            measures.set("tokens_per_s/rollout", tokens / rollout);
        }
        if let Some(rows) = measures.get("rows").filter(|_| learning > 0.0) {
            measures.set("tokens_per_s/learning", rows / learning);
        }
        if let Some(level) = trainer.settings().task.curriculum.as_ref().map(|_| trainer.state().pool.curriculum.level)
        {
            measures.set("curriculum/level", level as f64);
        }
        if let Some(bytes) = resident() {
            measures.set("memory/resident_mib", bytes as f64 / f64::from(1 << 20));
        }
        measures
    }

    /// Puts a number down.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), Value::from(value));
    }

    /// Reads a number back.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).and_then(Value::as_f64)
    }

    /// What episodes came to.
    pub fn episodes(&mut self, records: &[EpisodeRecord]) {
        let sound: Vec<&EpisodeRecord> = records.iter().filter(|record| record.is_sound()).collect();
        let count = sound.len().max(1) as f64;
        let totals: Vec<f64> =
            sound.iter().filter_map(|record| record.reward.as_ref()).map(|reward| reward.total).collect();
        let mean = totals.iter().sum::<f64>() / count;
        self.set("reward/total", mean);
        self.set("reward/std", (totals.iter().map(|total| (total - mean).powi(2)).sum::<f64>() / count).sqrt());
        let mut terms: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        for term in sound.iter().filter_map(|record| record.reward.as_ref()).flat_map(|reward| &reward.terms) {
            let (raw, weighted) = terms.entry(&term.name).or_default();
            (*raw, *weighted) = (*raw + term.raw / count, *weighted + term.weighted / count);
        }
        for (name, (raw, weighted)) in terms {
            self.set(format!("reward/{name}"), raw);
            self.set(format!("reward/{name}/weighted"), weighted);
        }
        let mut agents: BTreeMap<&str, f64> = BTreeMap::new();
        for (agent, reward) in sound.iter().filter_map(|record| record.reward.as_ref()).flat_map(|reward| &reward.agent)
        {
            *agents.entry(agent).or_default() += reward / count;
        }
        for (agent, reward) in agents {
            self.set(format!("reward/agent/{agent}"), reward);
        }
        self.set("episodes", records.len() as f64);
        self.set("faults/share", share(records.len() - sound.len(), records.len()));
        for kind in FaultKind::ALL {
            let broken = broken_by(records, kind);
            if broken > 0 {
                self.set(format!("fault/{}", kind.name()), share(broken, records.len()));
            }
        }
        self.turns(records);
        self.dependencies(records);
    }

    fn turns(&mut self, records: &[EpisodeRecord]) {
        let turns: Vec<&TurnRecord> = records.iter().flat_map(|record| &record.turns).collect();
        let tokens: usize = turns.iter().map(|turn| turn.tokens).sum();
        self.set("turns", turns.len() as f64);
        self.set("tokens", tokens as f64);
        let mut lengths: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut finishes: BTreeMap<&str, usize> = BTreeMap::new();
        for turn in &turns {
            let (sum, count) = lengths.entry(&turn.agent).or_default();
            (*sum, *count) = (*sum + turn.tokens, *count + 1);
            *finishes.entry(&turn.finish).or_default() += 1;
        }
        for (agent, (sum, count)) in lengths {
            self.set(format!("length/{agent}"), share(sum, count));
        }
        for (finish, count) in finishes {
            self.set(format!("finish/{finish}"), share(count, turns.len()));
        }
        self.set("invalid/share", invalid(&turns));
        let prompt: usize =
            records.iter().flat_map(|record| &record.segments).map(|segment| segment.ids.len()).sum::<usize>() - tokens;
        let cached: usize = turns.iter().map(|turn| turn.cached).sum();
        self.set("cache/share", share(cached, cached.max(prompt)));
    }

    fn dependencies(&mut self, records: &[EpisodeRecord]) {
        let mut used: BTreeMap<String, usize> = BTreeMap::new();
        for (from, to) in records.iter().flat_map(|record| &record.dependencies) {
            *used.entry(format!("d/{from}>{to}")).or_default() += 1;
        }
        for (edge, count) in used {
            self.set(edge, share(count, records.len()));
        }
    }

    /// What updates came to; `names` are those of the policies.
    pub fn learnt(&mut self, report: &LearnReport, names: &BTreeMap<PolicyId, String>) {
        for (policy, own) in &report.policies {
            let Some(name) = names.get(policy) else { continue };
            self.set(format!("updates/{name}"), f64::from(own.updates));
            if own.tokens == 0 {
                continue;
            }
            self.set(format!("loss/{name}"), own.loss);
            self.set(format!("kl/{name}"), own.approx_kl);
            self.set(format!("clip/{name}"), own.clip_fraction);
            self.set(format!("ratio/{name}"), own.ratio);
            self.set(format!("entropy/{name}"), own.entropy);
            if let Some(kl) = own.kl_reference {
                self.set(format!("kl_reference/{name}"), kl);
            }
            self.set(format!("grad_norm/{name}"), own.grad_norm);
            self.set(format!("learning_rate/{name}"), own.learning_rate);
            self.set(format!("gated/{name}"), f64::from(own.gated));
        }
        for critic in &report.critics {
            let at = critic.critic;
            self.set(format!("critic/{at}/loss"), critic.loss);
            self.set(format!("critic/{at}/explained_variance"), critic.explained_variance);
            self.set(format!("critic/{at}/grad_norm"), critic.grad_norm);
            self.set(format!("critic/{at}/clip"), critic.clip_fraction);
        }
        for (policy, coefficient) in &report.kl_coefficient {
            if let Some(name) = names.get(policy) {
                self.set(format!("kl_coef/{name}"), *coefficient);
            }
        }
        for (agent, paid) in &report.paid {
            self.set(format!("reward/agent/{agent}"), *paid);
        }
        if let Some(uniform) = report.uniform_groups {
            self.set("groups/uniform", uniform);
        }
        if let Some(kl) = report.kl_in_reward {
            self.set("kl_in_reward", kl);
        }
        self.set("advantage/mean", report.advantage_mean);
        self.set("advantage/std", report.advantage_std);
        self.set("advantage/max", report.advantage_max);
        self.set("logprob_gap/mean", report.logprob_gap);
        self.set("logprob_gap/max", report.logprob_gap_max);
        self.set("rows", report.rows as f64);
        self.set("updates/dropped", f64::from(report.bad_updates));
    }

    /// What supervised updates came to.
    pub fn taught(&mut self, report: &SupervisedReport, names: &BTreeMap<PolicyId, String>) {
        for (policy, name) in names {
            if let Some(loss) = report.loss.get(policy) {
                self.set(format!("loss/{name}"), *loss);
            }
            if let Some(norm) = report.grad_norm.get(policy) {
                self.set(format!("grad_norm/{name}"), *norm);
                self.set(format!("learning_rate/{name}"), report.learning_rate);
            }
        }
        self.set("tokens/taught", report.tokens as f64);
        self.set("rows", report.rows as f64);
        self.set("updates/dropped", f64::from(report.bad_updates));
    }
}

/// Episodes that something of this kind broke.
pub(super) fn broken_by(records: &[EpisodeRecord], kind: FaultKind) -> usize {
    let broke = |record: &&EpisodeRecord| {
        record.faults.iter().any(|fault| !fault.recovered && FaultKind::from_name(&fault.kind) == Some(kind))
    };
    records.iter().filter(broke).count()
}

/// Share of turns with output fields of which not one was found.
pub(super) fn invalid(turns: &[&TurnRecord]) -> f64 {
    let with_fields: Vec<_> = turns.iter().filter(|turn| !turn.fields.is_empty()).collect();
    let empty = with_fields.iter().filter(|turn| turn.fields.iter().all(|(_, value)| value.is_null())).count();
    share(empty, with_fields.len())
}

/// A part of a whole, of which there may be nothing.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Memory of the process, as Linux tells it.
fn resident() -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
