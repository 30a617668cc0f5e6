//! Warnings that name what goes wrong in training, rather than leave it to be read out of curves.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// What a step looked like, as far as warnings need it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Vitals {
    /// Mean total reward of the sound episodes.
    pub reward: f64,
    /// Share of groups whose samples all earned the same; where nothing is sampled in groups, 1 if all episodes earned the
    /// same, and 0 otherwise.
    pub uniform_groups: f64,
    /// Mean entropy of the sampled tokens, in nats.
    pub entropy: f64,
    /// The share of the most frequent answer among all answers of the step.
    pub commonest_answer: f64,
    /// The share the most frequent gold answer has among the step's tasks.
    pub commonest_gold: f64,
    /// Mean sampled tokens a turn.
    pub length: f64,
    /// Share of turns cut off at their token limit.
    pub truncated: f64,
    /// Share of turns whose output did not parse.
    pub invalid: f64,
    /// Share of episodes with a fault.
    pub faults: f64,
    /// Share of episodes whose reward could not be given.
    #[serde(default)]
    pub judge_faults: f64,
    /// Updates that were dropped because a number was not finite.
    #[serde(default)]
    pub dropped: u32,
    /// Mean absolute difference between the log-probs of sampler and trainer, in nats.
    pub logprob_gap: f64,
}

/// A named failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Warning {
    /// Answers have become one and the same whatever the task; where they come in groups, the signal is gone with that.
    Collapse,
    /// Groups, or all episodes, earn the same although answers vary: tasks are all too easy or all too hard.
    NoSignal,
    /// The policy has stopped exploring.
    EntropyCollapse,
    /// No episode was good enough to be learnt from in self-distillation.
    NothingKept,
    /// Turns grow longer and longer.
    LengthExplosion,
    /// Turns hit their token limit.
    Truncation,
    /// Outputs no longer parse.
    InvalidActions,
    /// Environments, tools or policies break.
    Faults,
    /// Judges break: rewards cannot be given.
    JudgeFailures,
    /// Losses or gradients are not finite, and their updates dropped.
    DroppedUpdates,
    /// The sampler and the trainer disagree about what was sampled.
    LogprobGap,
}

impl Warning {
    /// What is going on and what helps, in one line.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Collapse => {
                "collapse: nearly every answer is the same whatever the task, and groups that are uniform have group-relative \
                 advantages of zero; hint: restart from an earlier checkpoint with entropy or KL terms, a batch baseline or \
                 a critic, or a lower learning rate"
            }
            Self::NoSignal => {
                "no signal: in nearly all groups, or in the whole step where there are none, everyone earned the same; hint: \
                 choose tasks that are solved sometimes (curriculum, dynamic sampling), start with supervised \
                 demonstrations, or raise the temperature"
            }
            Self::NothingKept => {
                "no signal: no episode reached keep_above, and nothing was learnt; hint: lower keep_above, raise samples, or \
                 start with supervised demonstrations"
            }
            Self::EntropyCollapse => {
                "entropy collapse: the policy's entropy fell below a tenth of what it was; hint: add an entropy bonus, clip \
                 higher, or lower the learning rate"
            }
            Self::LengthExplosion => {
                "length explosion: turns are more than twice as long as they were; hint: add length shaping or lower max_tokens"
            }
            Self::Truncation => {
                "truncation: more than half of the turns end at max_tokens; hint: raise max_tokens or shape the length"
            }
            Self::InvalidActions => {
                "invalid actions: more than half of the outputs do not parse; hint: add a format term or demonstrations"
            }
            Self::Faults => {
                "faults: more than a fifth of the episodes broke and are not trained on; `fault/…` in the metrics says what broke, \
                 the records of the episodes how"
            }
            Self::JudgeFailures => {
                "judge failures: in more than a tenth of the episodes the reward could not be given, and they are not trained \
                 on; the records of the episodes say why"
            }
            Self::DroppedUpdates => {
                "dropped updates: losses or gradients are not finite; hint: lower the learning rate, or use dtype = \"f32\""
            }
            Self::LogprobGap => {
                "log-prob gap: sampler and trainer differ by more than 0.05 nats a token; importance ratios are off"
            }
        }
    }
}

/// Watches the steps of a run; each failure is named once when it sets in.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Watch {
    first: VecDeque<Vitals>,
    active: std::collections::BTreeSet<Warning>,
}

/// Steps whose mean is what later steps are compared with.
const REFERENCE_STEPS: usize = 5;

impl Watch {
    /// Looks at a step; returns the failures that set in with it.
    pub fn note(&mut self, vitals: Vitals) -> Vec<Warning> {
        if self.first.len() < REFERENCE_STEPS {
            self.first.push_back(vitals);
        }
        let mean = |of: fn(&Vitals) -> f64| self.first.iter().map(of).sum::<f64>() / self.first.len() as f64;
        let settled = self.first.len() == REFERENCE_STEPS;
        let uniform = vitals.uniform_groups >= 0.9;
        // an answer may be common because it is the right one
        let monotone = vitals.commonest_answer >= 0.95 && vitals.commonest_answer > vitals.commonest_gold + 0.2;
        let now = [
            (Warning::Collapse, monotone),
            (Warning::NoSignal, uniform && !monotone && vitals.reward < 0.95),
            (Warning::EntropyCollapse, settled && vitals.entropy < 0.1 * mean(|v| v.entropy)),
            (Warning::LengthExplosion, settled && vitals.length > 2.0 * mean(|v| v.length).max(8.0)),
            (Warning::Truncation, vitals.truncated > 0.5),
            (Warning::InvalidActions, vitals.invalid > 0.5),
            (Warning::Faults, vitals.faults - vitals.judge_faults > 0.2),
            (Warning::JudgeFailures, vitals.judge_faults > 0.1),
            (Warning::DroppedUpdates, vitals.dropped > 0),
            (Warning::LogprobGap, vitals.logprob_gap > 0.05),
        ];
        now.into_iter().filter_map(|(warning, holds)| self.raise(warning, holds)).collect()
    }

    /// Looks at how many episodes a step of self-distillation kept; returns the failure that set in with it.
    pub fn note_kept(&mut self, kept: usize) -> Option<Warning> {
        self.raise(Warning::NothingKept, kept == 0)
    }

    /// Looks at how many updates of supervised learning were dropped in a step.
    pub fn note_dropped(&mut self, dropped: u32) -> Option<Warning> {
        self.raise(Warning::DroppedUpdates, dropped > 0)
    }

    fn raise(&mut self, warning: Warning, holds: bool) -> Option<Warning> {
        if !holds {
            self.active.remove(&warning);
            return None;
        }
        self.active.insert(warning).then_some(warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEALTHY: Vitals = Vitals {
        reward: 0.4,
        uniform_groups: 0.2,
        entropy: 1.0,
        commonest_answer: 0.5,
        commonest_gold: 0.5,
        length: 10.0,
        truncated: 0.0,
        invalid: 0.0,
        faults: 0.0,
        judge_faults: 0.0,
        dropped: 0,
        logprob_gap: 0.001,
    };

    #[test]
    fn a_healthy_run_is_quiet() {
        let mut watch = Watch::default();
        assert!((0..20).all(|_| watch.note(HEALTHY).is_empty()));
    }

    #[test]
    fn the_judge_that_always_says_one_label_is_a_collapse_named_once() {
        let mut watch = Watch::default();
        watch.note(HEALTHY);
        let collapsed = Vitals { reward: 0.5, uniform_groups: 1.0, commonest_answer: 1.0, ..HEALTHY };
        assert_eq!(watch.note(collapsed), [Warning::Collapse]);
        assert!(watch.note(collapsed).is_empty());
        watch.note(HEALTHY);
        assert_eq!(watch.note(collapsed), [Warning::Collapse], "named again when it sets in again");
        watch.note(HEALTHY);
        let ungrouped = Vitals { uniform_groups: 0.0, ..collapsed };
        assert_eq!(watch.note(ungrouped), [Warning::Collapse], "also where groups say nothing");
    }

    #[test]
    fn solved_tasks_are_no_failure() {
        let mut watch = Watch::default();
        assert!(watch.note(Vitals { reward: 1.0, uniform_groups: 1.0, ..HEALTHY }).is_empty());
        let hopeless = Vitals { reward: 0.0, uniform_groups: 1.0, ..HEALTHY };
        assert_eq!(watch.note(hopeless), [Warning::NoSignal]);
    }

    #[test]
    fn stages_of_supervised_learning_have_failures_of_their_own() {
        let mut watch = Watch::default();
        let named = [3, 0, 0, 2, 0].map(|kept| watch.note_kept(kept).is_some());
        assert_eq!(named, [false, true, false, false, true]);
        let named = [0, 1, 1, 0].map(|dropped| watch.note_dropped(dropped).is_some());
        assert_eq!(named, [false, true, false, false]);
    }

    #[test]
    fn the_others() {
        let mut watch = Watch::default();
        (0..5).for_each(|_| drop(watch.note(HEALTHY)));
        assert_eq!(watch.note(Vitals { entropy: 0.05, ..HEALTHY }), [Warning::EntropyCollapse]);
        assert_eq!(
            watch.note(Vitals { length: 25.0, truncated: 0.6, ..HEALTHY }),
            [Warning::LengthExplosion, Warning::Truncation]
        );
        assert_eq!(
            watch.note(Vitals { invalid: 0.6, faults: 0.3, ..HEALTHY }),
            [Warning::InvalidActions, Warning::Faults]
        );
        assert_eq!(watch.note(Vitals { logprob_gap: 0.1, ..HEALTHY }), [Warning::LogprobGap]);
        let judge_faults = Vitals { faults: 0.3, judge_faults: 0.3, ..HEALTHY };
        assert_eq!(watch.note(judge_faults), [Warning::JudgeFailures], "named as what it is");
        assert_eq!(watch.note(Vitals { dropped: 1, ..HEALTHY }), [Warning::DroppedUpdates]);
    }
}
