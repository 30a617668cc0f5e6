//! `task.mixture` and `task.curriculum`: bands of a numeric column, drawn in shares or opened one after another.

use std::collections::BTreeSet;

use marft_topologies::check::Code;
use marft_topologies::source::Spanned;

use super::data::Data;
use super::{Resolving, or};
use crate::settings::TaskSettings;
use crate::settings::file::typed::{CurriculumFile, MixtureFile};
use crate::task::{Bands, Curriculum, Task};

impl Resolving<'_> {
    /// Shares by band; `None` where a key is missing, which has been reported.
    pub(super) fn mixture(&mut self, typed: &Spanned<MixtureFile>) -> Option<Bands> {
        let sources = self.file.task.as_ref().and_then(|task| task.sources.as_ref());
        if sources.is_some_and(|sources| sources.iter().any(|source| source.weight.is_some())) {
            let message = "weights of sources and `mixture` both say how often tasks are drawn";
            self.report(Code::BadCombination, message, typed.span, "keep one of them");
        }
        let values = |list: &[Spanned<f64>]| list.iter().map(|typed| typed.value).collect::<Vec<f64>>();
        let (by, bounds, weights) = (typed.by.as_ref()?, typed.bounds.as_ref()?, typed.weights.as_ref()?);
        if bounds.is_empty() {
            let message = "a mixture of one band has no effect";
            self.report(Code::BadCombination, message, bounds.span, "give the upper bounds of all bands but the last");
        }
        self.rising(bounds);
        for weight in weights.iter() {
            let fine = |weight: f64| weight >= 0.0 && weight.is_finite();
            self.range("weights", Some(weight), fine, "a share is not negative");
        }
        if weights.len() != bounds.len() + 1 {
            let message = format!("there are {} bands and {} weights", bounds.len() + 1, weights.len());
            self.report(
                Code::BadValue,
                message,
                weights.span,
                "give every band a weight, also the one above the last bound",
            );
        } else if weights.iter().all(|weight| weight.value == 0.0) {
            self.report(Code::BadValue, "all weights are 0", weights.span, "give a band a weight above 0");
        }
        Some(Bands { by: by.value.clone(), bounds: values(bounds), weights: values(weights) })
    }

    /// Levels; `None` where a key is missing, which has been reported.
    pub(super) fn curriculum(&mut self, typed: &Spanned<CurriculumFile>) -> Option<Curriculum> {
        self.range("window", typed.window.as_ref(), |window| window > 0, "a mean needs an episode");
        let bounds = typed.bounds.as_ref()?;
        let values: Vec<f64> = bounds.iter().map(|bound| bound.value).collect();
        if values.is_empty() {
            let message = "a curriculum of one level has no effect";
            self.report(Code::BadCombination, message, bounds.span, "give the upper bounds of all levels but the last");
        }
        self.rising(bounds);
        Some(Curriculum {
            by: typed.by.as_ref()?.value.clone(),
            bounds: values,
            promote_at: or(typed.promote_at.as_ref(), 0.8),
            window: or(typed.window.as_ref(), 64) as usize,
        })
    }

    fn rising(&mut self, bounds: &Spanned<Vec<Spanned<f64>>>) {
        if !bounds.is_sorted_by(|a, b| a.value < b.value) {
            self.report(Code::BadValue, "the bounds do not rise", bounds.span, "put them in order");
        }
    }

    /// Whether every band that is drawn, and every level, has tasks to train on. A level without any is never passed, so
    /// that what comes after it never opens; a band without any leaves its share to the others.
    pub(super) fn difficulty(&mut self, task: &TaskSettings, data: &Data) {
        let file = self.file.task.as_ref();
        let curriculum = file.and_then(|task| {
            task.curriculum.as_ref()?.value.by.as_ref().zip(task.curriculum.as_ref()?.bounds.as_ref())
        });
        let mixture =
            file.and_then(|task| task.mixture.as_ref()?.value.by.as_ref().zip(task.mixture.as_ref()?.bounds.as_ref()));
        if let (Some(levels), Some((by, bounds))) = (&task.curriculum, curriculum) {
            let needed = |_: usize| true;
            self.bands_with_tasks(data, by, bounds, |task| levels.level(task), needed, "level");
        }
        if let (Some(bands), Some((by, bounds))) = (&task.mixture, mixture) {
            let needed = |band: usize| bands.weights.get(band).is_some_and(|weight| *weight > 0.0);
            self.bands_with_tasks(data, by, bounds, |task| bands.band(task), needed, "band that is drawn");
        }
    }

    fn bands_with_tasks(
        &mut self,
        data: &Data,
        by: &Spanned<String>,
        bounds: &Spanned<Vec<Spanned<f64>>>,
        band: impl Fn(&Task) -> Option<usize>,
        needed: impl Fn(usize) -> bool,
        what: &str,
    ) {
        self.full_column(data, by, by.span, "no number", |row| row.number(by).is_some());
        let Some(splits) = &data.splits else { return };
        // both have been reported
        if !bounds.is_sorted_by(|a, b| a.value < b.value) || data.rows.iter().any(|row| band(row).is_none()) {
            return;
        }
        let filled: BTreeSet<usize> = splits.train.iter().filter_map(band).collect();
        for empty in (0..=bounds.len()).filter(|band| needed(*band) && !filled.contains(band)) {
            let span = bounds.get(empty).or(bounds.last()).map_or(bounds.span, |bound| bound.span);
            let name = &by.value;
            let message = match (empty.checked_sub(1).map(|at| bounds[at].value), bounds.get(empty)) {
                (Some(above), Some(upto)) => {
                    format!("no task to train on has `{name}` above {above} and up to {}", upto.value)
                }
                (Some(above), None) => format!("no task to train on has `{name}` above {above}"),
                (None, Some(upto)) => format!("no task to train on has `{name}` up to {}", upto.value),
                (None, None) => continue,
            };
            let help = format!("a {what} needs tasks: take the bound out, or move it");
            self.report(Code::BadCombination, message, span, help);
        }
    }
}
