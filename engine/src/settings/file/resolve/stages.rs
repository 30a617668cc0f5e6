//! What the run does, in order.

use std::collections::BTreeSet;

use marft_algorithms::supervised::ErrorMask;
use marft_topologies::check::Code;
use marft_topologies::source::{Span, Spanned};

use super::agents::Roster;
use super::data::Data;
use super::{Resolving, count, or, start};
use crate::settings::file::typed::{ErrorMaskWord, OneOrMany, StageFile, StageWord};
use crate::settings::{ErrorRule, Rft, Rl, Sft, Stage};
use crate::task::Demonstrations;

impl Resolving<'_> {
    /// The stages; `steps` is what `rl` and `rft` take that do not state their own.
    pub(super) fn stages(&mut self, steps: u64, data: &Data, roster: Option<&Roster>) -> Vec<Stage> {
        let Some(typed) = &self.file.stages else {
            self.someone_learns(roster, start());
            return vec![Stage::Rl(Rl { steps, frozen: Vec::new() })];
        };
        let mut stages = Vec::new();
        for stage in typed.iter() {
            let Some(kind) = &stage.kind else { continue };
            self.someone_learns(roster, kind.span);
            stages.extend(self.stage(stage, kind.value, steps, data, roster));
        }
        if typed.is_empty() {
            let help = "leave `stages` out for one stage `rl`";
            self.report(Code::MissingKey, "a run without stages does nothing", typed.span, help);
        }
        let open = |stage: &Spanned<StageFile>| {
            stage.steps.is_none() && stage.kind.as_ref().is_none_or(|kind| kind.value != StageWord::Sft)
        };
        let given = self.file.train.as_ref().and_then(|train| train.steps.as_ref());
        if let (Some(given), false) = (given, typed.iter().any(open)) {
            let message = "`train.steps` has no effect: every stage that takes steps states its own";
            self.report(Code::BadCombination, message, given.span, "leave it out, or the `steps` of a stage");
        }
        self.unread(typed);
        stages
    }

    fn someone_learns(&mut self, roster: Option<&Roster>, span: Span) {
        if roster.is_some_and(|roster| roster.learners.is_empty()) {
            let message = "nobody learns: every agent is frozen, or is no local policy that is trainable";
            self.report(Code::Untrainable, message, span, "let an agent learn");
        }
    }

    fn stage(
        &mut self,
        stage: &StageFile,
        kind: StageWord,
        steps: u64,
        data: &Data,
        roster: Option<&Roster>,
    ) -> Option<Stage> {
        let spans = [
            ("steps", stage.steps.as_ref().map(|typed| typed.span), &[StageWord::Rl, StageWord::Rft][..]),
            ("frozen", stage.frozen.as_ref().map(|typed| typed.span), &[StageWord::Rl]),
            ("demonstrations", stage.demonstrations.as_ref().map(|typed| typed.span), &[StageWord::Sft]),
            ("limit", stage.limit.as_ref().map(|typed| typed.span), &[StageWord::Sft]),
            ("epochs", stage.epochs.as_ref().map(|typed| typed.span), &[StageWord::Sft, StageWord::Rft]),
            ("batch", stage.batch.as_ref().map(|typed| typed.span), &[StageWord::Sft]),
            ("errors", stage.errors.as_ref().map(|typed| typed.span), &[StageWord::Sft]),
            ("error_mask", stage.error_mask.as_ref().map(|typed| typed.span), &[StageWord::Sft]),
            ("learning_rate", stage.learning_rate.as_ref().map(|typed| typed.span), &[StageWord::Sft, StageWord::Rft]),
            ("samples", stage.samples.as_ref().map(|typed| typed.span), &[StageWord::Rft]),
            ("keep_above", stage.keep_above.as_ref().map(|typed| typed.span), &[StageWord::Rft]),
            ("keep", stage.keep.as_ref().map(|typed| typed.span), &[StageWord::Rft]),
        ];
        for (key, span, kinds) in spans {
            if let Some(span) = span.filter(|_| !kinds.contains(&kind)) {
                let message = format!("`{key}` has no effect on a stage `{}`", kind.word());
                let help = if key == "learning_rate" { "set it in `[algorithm]`" } else { "leave it out" };
                self.report(Code::BadCombination, message, span, help);
            }
        }
        self.range("steps", stage.steps.as_ref(), |steps| steps > 0, "no step trains nothing");
        self.range("epochs", stage.epochs.as_ref(), |epochs| epochs > 0, "no pass trains nothing");
        self.range("batch", stage.batch.as_ref(), |batch| batch > 0, "an update needs a demonstration");
        self.range("limit", stage.limit.as_ref(), |limit| limit > 0, "no demonstration teaches nothing");
        self.range("learning_rate", stage.learning_rate.as_ref(), |rate| rate > 0.0, "it must be positive");
        self.range("samples", stage.samples.as_ref(), |samples| samples > 0, "a task needs an episode");
        self.range("keep", stage.keep.as_ref(), |keep| keep > 0, "nothing would be learnt from");
        let samples = or(stage.samples.as_ref(), 8);
        if let Some(keep) = stage.keep.as_ref().filter(|keep| keep.value > samples) {
            let message = format!("{} episodes of a task cannot be kept out of {samples}", keep.value);
            self.report(Code::BadCombination, message, keep.span, "raise `samples`, or lower `keep`");
        }
        let learning_rate = or(stage.learning_rate.as_ref(), 1e-4);
        Some(match kind {
            StageWord::Rl => {
                let frozen = stage.frozen.as_ref();
                if let (Some(frozen), Some(roster)) = (frozen, roster) {
                    self.frozen_in_stage(frozen, roster);
                }
                let frozen = frozen.iter().flat_map(|names| names.0.iter()).map(|name| name.value.clone()).collect();
                Stage::Rl(Rl { steps: or(stage.steps.as_ref(), steps), frozen })
            }
            StageWord::Sft => {
                let Some(file) = &stage.demonstrations else {
                    let span = stage.kind.as_ref().map_or_else(start, |kind| kind.span);
                    let message = "a stage `sft` learns from `demonstrations`, and none are named";
                    self.report(Code::MissingKey, message, span, "add `demonstrations = \"demonstrations.jsonl\"`");
                    return None;
                };
                self.demonstrations(file, data, roster);
                Stage::Sft(Sft {
                    demonstrations: self.existing(file),
                    limit: stage.limit.as_ref().map(|limit| usize::try_from(limit.value).unwrap_or(usize::MAX)),
                    epochs: or(stage.epochs.as_ref(), 3),
                    batch: count(stage.batch.as_ref(), 16),
                    errors: self.errors(stage),
                    learning_rate,
                })
            }
            StageWord::Rft => Stage::Rft(Rft {
                steps: or(stage.steps.as_ref(), steps),
                samples,
                keep_above: or(stage.keep_above.as_ref(), 0.5),
                keep: or(stage.keep.as_ref(), 1),
                epochs: or(stage.epochs.as_ref(), 1),
                learning_rate,
            }),
        })
    }

    /// Which demonstrated answers failed.
    fn errors(&mut self, stage: &StageFile) -> Option<ErrorRule> {
        let mask = or(stage.error_mask.as_ref(), ErrorMaskWord::Turn);
        let Some(pattern) = &stage.errors else {
            if let Some(mask) = &stage.error_mask {
                let message = "`error_mask` has no effect: nothing says what an error is";
                self.report(Code::BadCombination, message, mask.span, "give `errors`, a regular expression");
            }
            return None;
        };
        if let Err(error) = regex::Regex::new(pattern) {
            let message = format!("`errors` is no regular expression: {error}");
            self.report(Code::BadValue, message, pattern.span, "correct it, or leave `errors` out");
        }
        let mask = match mask {
            ErrorMaskWord::Turn => ErrorMask::Turn,
            ErrorMaskWord::Action => ErrorMask::Action,
            ErrorMaskWord::Off => ErrorMask::Off,
        };
        Some(ErrorRule { pattern: pattern.value.clone(), mask })
    }

    /// Checks who is frozen in a stage.
    fn frozen_in_stage(&mut self, frozen: &Spanned<OneOrMany>, roster: &Roster) {
        let names: Vec<&str> = frozen.0.iter().map(|name| name.value.as_str()).collect();
        for name in &frozen.0 {
            if roster.labels().all(|label| label != name.value) {
                self.unknown("agent", name, name.span, roster.labels());
                continue;
            }
            if !roster.learns(name) {
                let message = format!("freezing `{}` has no effect: it does not learn", name.value);
                self.report(Code::BadCombination, message, name.span, "leave it out");
                continue;
            }
            let others = roster.learners.iter().filter(|other| !names.contains(&other.as_str()));
            if let Some(partner) = others.clone().find(|other| roster.weights(other) == roster.weights(name)) {
                let message = format!("`{}` is frozen, but `{partner}` trains its weights", name.value);
                let help = format!("freeze `{partner}` too, or use `weights = \"per-agent\"`");
                self.report(Code::BadCombination, message, name.span, help);
            }
        }
        let left = roster.learners.iter().any(|learner| !names.contains(&learner.as_str()));
        if !left && !roster.learners.is_empty() {
            let message = "nobody learns in this stage: every agent is frozen";
            self.report(Code::Untrainable, message, frozen.span, "let an agent learn");
        }
    }

    /// Checks that demonstrations are of tasks to train on and of agents of the team.
    fn demonstrations(&mut self, file: &Spanned<String>, data: &Data, roster: Option<&Roster>) {
        let path = self.beside(file);
        // A missing file is reported where its path is made.
        if !path.is_file() {
            return;
        }
        let rows = match Demonstrations::read(&path) {
            Ok(Demonstrations(rows)) => rows,
            Err(error) => {
                let help = "a line is `{\"id\": TASK, \"says\": {AGENT: TEXT or [TEXT, …]}}`";
                return self.report(Code::BadValue, error.to_string(), file.span, help);
            }
        };
        let Some(splits) = &data.splits else { return };
        let train: BTreeSet<&str> = splits.train.iter().map(|task| task.id.as_str()).collect();
        let held_out: BTreeSet<&str> = splits.held_out.iter().map(|task| task.id.as_str()).collect();
        if rows.is_empty() {
            let message = format!("`{}` holds no demonstrations", path.display());
            self.report(Code::BadValue, message, file.span, "leave the stage out");
        }
        let shown: BTreeSet<&str> = rows.iter().flat_map(|row| row.says.keys().map(String::as_str)).collect();
        for label in roster.iter().flat_map(|roster| &roster.learners).filter(|label| !shown.contains(label.as_str())) {
            self.warnings.push(format!("`{}` has nothing that agent `{label}` says, which learns", path.display()));
        }
        let mut strangers = BTreeSet::new();
        let (mut unknown, mut leaked) = (Vec::new(), Vec::new());
        for row in rows {
            let id = row.id;
            if !train.contains(id.as_str()) {
                if held_out.contains(id.as_str()) { leaked.push(id) } else { unknown.push(id) }
            }
            let known = |agent: &String| roster.is_none_or(|roster| roster.labels().any(|label| label == agent));
            strangers.extend(row.says.into_keys().filter(|agent| !known(agent)));
        }
        for agent in strangers {
            if let Some(roster) = roster {
                self.unknown("agent", &agent, file.span, roster.labels());
            }
        }
        if let Some(first) = leaked.first() {
            let message = format!("{} of the demonstrations show held-out tasks, the first `{first}`", leaked.len());
            self.report(Code::BadValue, message, file.span, "what is held out must not be taught");
        }
        if let Some(first) = unknown.first() {
            let message =
                format!("{} of the demonstrations show no task of the data, the first `{first}`", unknown.len());
            self.report(Code::DanglingReference, message, file.span, "`id` is the id of a task");
        }
    }
}
