//! What a run tells whoever watches, and how it is asked to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Evaluation, Measures, Sampling, Served, StepReport};
use crate::metrics::Warning;

/// News of a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run goes on from a checkpoint.
    Resumed {
        /// After this step.
        step: u64,
        /// Newer checkpoints that were damaged, with what is wrong with them.
        rejected: Vec<String>,
    },
    /// A stage begins.
    Stage {
        /// Its name.
        name: &'static str,
        /// Its first step.
        first: u64,
        /// Its steps.
        steps: u64,
    },
    /// A step is done.
    Step {
        /// Which, from 1.
        step: u64,
        /// Of how many.
        of: u64,
        /// What happened.
        report: &'a StepReport,
        /// The same as numbers.
        measures: &'a Measures,
    },
    /// The team was evaluated.
    Evaluated(&'a Evaluation),
    /// The team was evaluated, and not one episode came to a score.
    Unscored {
        /// After this step.
        step: u64,
        /// What happened in the first that broke.
        fault: String,
    },
    /// Something is going wrong.
    Warned {
        /// After this step.
        step: u64,
        /// What.
        warning: Warning,
    },
    /// Dynamic sampling gave up before it had as many groups as were wanted.
    Starved {
        /// After this step.
        step: u64,
        /// What it took and kept.
        sampling: Sampling,
    },
    /// The run is saved.
    Saved {
        /// The checkpoint.
        folder: PathBuf,
    },
    /// A push of an adapter is over. The run goes on either way.
    Served(&'a Served),
}

/// Watches a run.
pub trait Observer {
    /// Hears the news.
    fn notice(&mut self, event: &Event<'_>);
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Observer for Quiet {
    fn notice(&mut self, _event: &Event<'_>) {}
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn notice(&mut self, event: &Event<'_>) {
        self(event);
    }
}

/// Asks a run to stop after the step it is in. Clones ask the same run.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it has been asked.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
