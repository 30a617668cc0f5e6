//! The run: a trainer driven to its end, with everything that happens written down.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use super::observer::{Event, Observer, Stop};
use super::serving::Serving;
use super::steps::first_fault;
use super::{Bundle, Evaluation, Folder, Measures, Plan, StepReport, Trainer, TrainerError, folder};
use crate::checkpoint::{Checkpoints, Rejected};
use crate::episode;
use crate::metrics::{EventWriter, MetricsLog};

/// The metric that holds how long a run has taken up to a step; not in the checkpoint, whose bytes are those of the run.
const SECONDS: &str = "seconds/run";

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Complete,
    /// A budget is spent.
    Budget(&'static str),
    /// Evaluations no longer improved.
    EarlyStop,
    /// It was asked to.
    Interrupted,
}

/// A run in its folder.
#[derive(Debug)]
pub struct Run {
    trainer: Trainer,
    folder: Folder,
    checkpoints: Checkpoints,
    metrics: MetricsLog,
    events: Option<EventWriter>,
    started: Instant,
    /// Seconds that earlier processes spent on the steps this one goes on from.
    before: f64,
    /// What a resumed run goes on from.
    resumed: Option<(u64, Vec<String>)>,
    saved: u64,
    serving: Option<Serving>,
}

impl Run {
    /// A run of `trainer` in `folder`, from the beginning or, with `resume`, from the newest whole checkpoint.
    ///
    /// # Errors
    /// The folder holds a run already, or is in use, or that run was told otherwise.
    pub fn open(mut trainer: Trainer, folder: &Path, resume: bool) -> Result<Self, TrainerError> {
        let folder = Folder::open(folder)?;
        let adapters = trainer.roster().weights().iter().filter_map(|weights| weights.adapter.as_deref());
        let bundle = Bundle::of(trainer.settings(), adapters)?;
        trainer.read_lessons()?;
        let checkpoints = Checkpoints::open(folder.checkpoints())?.needing(trainer.checkpoint_files());
        let mut resumed = None;
        // the first step that will be written down: 0 is the untrained team
        let mut first = 0;
        match folder.bundle()? {
            Some(_) if !resume => return Err(TrainerError::Occupied(folder.path().to_owned())),
            None if !checkpoints.steps()?.is_empty() => {
                let reason = "it is missing, and the folder has checkpoints".to_owned();
                return Err(TrainerError::State { path: folder.path().join(folder::BUNDLE), reason });
            }
            Some(earlier) => {
                let found = checkpoints.latest();
                let mut differences = bundle.differences(&earlier);
                let step = found.as_ref().ok().and_then(Option::as_ref).map_or(0, |found| found.step);
                differences.extend(trainer.plan().parts_before(&Plan::new(&earlier.settings)?, step));
                // whether a checkpoint has all it needs depends on the settings
                if !differences.is_empty() {
                    return Err(TrainerError::OtherSettings { folder: folder.path().to_owned(), differences });
                }
                let mut rejected = vec![];
                if let Some(found) = found? {
                    let planned = trainer.plan().steps();
                    if step > planned {
                        return Err(TrainerError::Further { folder: folder.path().to_owned(), step, planned });
                    }
                    trainer.restore(&found.folder)?;
                    checkpoints.set_aside(&found.rejected)?;
                    rejected = found.rejected.iter().map(Rejected::to_string).collect();
                    first = step + 1;
                }
                resumed = Some((step, rejected));
            }
            None => {}
        }
        let serving = Serving::open(trainer.settings(), &folder)?;
        folder.forget_from(first)?;
        folder.write_bundle(&bundle)?;
        trainer.keep_exchanges(&folder, resumed.is_some())?;
        let metrics = MetricsLog::from(&folder.path().join("metrics.jsonl"), first)?;
        let log = trainer.settings().log;
        let purge = resumed.as_ref().map(|_| first);
        let events =
            log.tensorboard.then(|| EventWriter::create(&folder.path().join("tensorboard"), purge)).transpose()?;
        let saved = trainer.state().step;
        let (started, before) = (Instant::now(), metrics.earlier(SECONDS).unwrap_or(0.0));
        Ok(Self { trainer, folder, checkpoints, metrics, events, started, before, resumed, saved, serving })
    }

    /// The trainer.
    pub fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    /// The trainer, to be asked for more once the run has ended.
    pub fn into_trainer(self) -> Trainer {
        self.trainer
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// What a step or the disk refuses. The last checkpoint stands.
    pub fn drive(&mut self, observer: &mut dyn Observer, stop: &Stop) -> Result<End, TrainerError> {
        if let Some((step, rejected)) = self.resumed.take() {
            observer.notice(&Event::Resumed { step, rejected });
        }
        let eval = self.trainer.settings().eval.clone();
        // later on there is no untrained team any more
        if eval.before && self.trainer.state.step == 0 {
            let found = self.evaluate(observer)?;
            let mut row = Measures::default();
            if let Some(found) = &found {
                put_evaluation(&mut row, found);
            }
            self.trainer.state.untrained = found.map(|found| found.tasks);
            row.set(SECONDS, self.seconds());
            self.write(0, &row)?;
        }
        let total = self.trainer.plan().steps().min(self.trainer.settings().train.budget.steps.unwrap_or(u64::MAX));
        let from = self.trainer.state().step;
        let mut end = self.ended(stop);
        let end = loop {
            if let Some(end) = end.or_else(|| stop.requested().then_some(End::Interrupted)) {
                break end;
            }
            let next = self.trainer.state().step + 1;
            let Some(place) = self.trainer.plan().at(next) else { break End::Complete };
            let ends = place.ends();
            if place.begins() || self.trainer.state().step == from {
                observer.notice(&Event::Stage {
                    name: place.stage.name(),
                    first: next - place.done,
                    steps: place.steps,
                });
            }
            let Some(report) = self.trainer.step()? else { break End::Complete };
            let step = self.trainer.state().step;
            let mut measures = Measures::of(&report, &self.trainer);
            self.keep_episodes(step, &report)?;
            observer.notice(&Event::Step { step, of: total, report: &report, measures: &measures });
            self.warn(&report, observer);
            self.hear(false, observer)?;
            end = self.ended(stop);
            let last = matches!(end, Some(End::Complete | End::Budget(_)));
            if ends || last || (eval.every > 0 && step.is_multiple_of(eval.every)) {
                let start = Instant::now();
                if let Some(found) = self.evaluate(observer)? {
                    put_evaluation(&mut measures, &found);
                    self.note_best(&found);
                }
                measures.set("seconds/evaluation", start.elapsed().as_secs_f64());
                end = end.or_else(|| self.ended(stop));
            }
            measures.set(SECONDS, self.seconds());
            self.write(step, &measures)?;
            let every = self.trainer.settings().checkpoint.every;
            // the best is kept, so it has to be there
            let best = self.trainer.state().best.is_some_and(|(best, _)| best == step);
            if every > 0 && (best || step.is_multiple_of(every)) {
                self.save(observer)?;
            }
        };
        if self.saved < self.trainer.state().step {
            self.save(observer)?;
        }
        self.hear(true, observer)?;
        Ok(end)
    }

    /// Whether the run ends before its next step.
    fn ended(&self, stop: &Stop) -> Option<End> {
        let (state, train) = (self.trainer.state(), &self.trainer.settings().train);
        let budget = train.budget;
        let spent = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit);
        if self.trainer.plan().at(state.step + 1).is_none() {
            return Some(End::Complete);
        }
        if stop.requested() {
            return Some(End::Interrupted);
        }
        if spent(budget.steps, state.step) {
            return Some(End::Budget("steps"));
        }
        if spent(budget.episodes, state.episodes) {
            return Some(End::Budget("episodes"));
        }
        if spent(budget.tokens, state.tokens) {
            return Some(End::Budget("tokens"));
        }
        if budget.seconds.is_some_and(|limit| self.seconds() >= limit) {
            return Some(End::Budget("seconds"));
        }
        train.early_stop.filter(|rule| state.since_best >= rule.patience).map(|_| End::EarlyStop)
    }

    /// How long the run has taken so far, all processes together.
    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<Option<Evaluation>, TrainerError> {
        let (found, records) = self.trainer.evaluate()?;
        let step = self.trainer.state().step;
        if self.trainer.settings().log.episodes {
            episode::write(&self.folder.evaluation(step), &records)?;
        }
        match &found {
            Some(found) => observer.notice(&Event::Evaluated(found)),
            None => observer.notice(&Event::Unscored { step, fault: first_fault(&records) }),
        }
        Ok(found)
    }

    fn note_best(&mut self, found: &Evaluation) {
        let delta = self.trainer.settings().train.early_stop.map_or(0.0, |rule| rule.min_delta);
        let state = &mut self.trainer.state;
        if state.best.is_none_or(|(_, best)| found.score.mean > best + delta) {
            (state.best, state.since_best) = (Some((found.step, found.score.mean)), 0);
        } else {
            state.since_best += 1;
        }
    }

    fn keep_episodes(&self, step: u64, report: &StepReport) -> Result<(), TrainerError> {
        if self.trainer.settings().log.episodes && !report.records.is_empty() {
            episode::write(&self.folder.episodes(step), &report.records)?;
        }
        Ok(())
    }

    fn warn(&mut self, report: &StepReport, observer: &mut dyn Observer) {
        let state = &mut self.trainer.state;
        if let Some(sampling) = report.sampling.filter(|sampling| sampling.kept < sampling.wanted) {
            observer.notice(&Event::Starved { step: state.step, sampling });
        }
        let learnt = report.vitals.map(|vitals| state.watch.note(vitals)).unwrap_or_default();
        let distilled = report.kept.and_then(|kept| state.watch.note_kept(kept));
        let taught = report.taught.as_ref().and_then(|taught| state.watch.note_dropped(taught.bad_updates));
        for warning in learnt.into_iter().chain(distilled).chain(taught) {
            observer.notice(&Event::Warned { step: state.step, warning });
        }
    }

    fn write(&mut self, step: u64, measures: &Measures) -> Result<(), TrainerError> {
        self.metrics.write(step, &measures.0)?;
        if let Some(events) = &mut self.events {
            for (name, value) in &measures.0 {
                if let Some(value) = value.as_f64() {
                    events.scalar(name, step, value)?;
                }
            }
            events.flush()?;
        }
        Ok(())
    }

    /// Tells what came of pushes; with `wait`, of all that are under way.
    fn hear(&mut self, wait: bool, observer: &mut dyn Observer) -> Result<(), TrainerError> {
        if let Some(serving) = &mut self.serving {
            for served in serving.hear(wait, &self.folder)? {
                observer.notice(&Event::Served(&served));
            }
        }
        Ok(())
    }

    fn save(&mut self, observer: &mut dyn Observer) -> Result<(), TrainerError> {
        let step = self.trainer.state().step;
        self.hear(true, observer)?;
        let folder = self.checkpoints.commit(step, |folder| self.trainer.save(folder))?;
        self.saved = step;
        if let Some(serving) = &mut self.serving {
            serving.begin(step, &folder, &self.folder)?;
        }
        observer.notice(&Event::Saved { folder });
        let keep = self.trainer.settings().checkpoint.keep;
        if keep > 0 {
            let best: Vec<u64> = self.trainer.state().best.iter().map(|(step, _)| *step).collect();
            self.checkpoints.prune(keep, &best)?;
        }
        Ok(())
    }
}

fn put_evaluation(measures: &mut Measures, found: &Evaluation) {
    measures.set("eval/score", found.score.mean);
    measures.set("eval/low", found.score.low);
    measures.set("eval/high", found.score.high);
    measures.set("eval/reward", found.reward);
    measures.set("eval/faults", found.faults as f64);
    for (name, value) in &found.terms {
        measures.set(format!("eval/{name}"), *value);
    }
    if let Some(gain) = found.gain {
        measures.0.insert("eval/gain".to_owned(), Value::from(gain.mean));
        measures.set("eval/gain/low", gain.low);
        measures.set("eval/gain/high", gain.high);
    }
}
