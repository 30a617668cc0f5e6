//! Adapters chosen per row: runs of rows, each with one adapter or none, through shared products with the base.

use std::ops::Range;

use marft_torch::{LoraSegment, add_segments, lora_linear};
use tch::Tensor;

use super::adapter::LoraAdapter;
use super::factors::SiteFactors;
use crate::model::{Linear, RowAdapters, Site};

/// A run of rows of a pass and the adapter they take; rows without one get the base alone.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// The rows.
    pub rows: Range<usize>,
    /// Their adapter.
    pub adapter: Option<&'a LoraAdapter>,
}

/// Any mix of adapters over the rows of a pass.
///
/// The rows of one adapter stand together, as the packer and the scheduler sort them: the base runs once over all rows, and
/// each adapter in use adds one pair of thin products per site over its own.
#[derive(Debug)]
pub struct SegmentAdapters<'a> {
    runs: Vec<Run<'a>>,
    training: bool,
}

impl<'a> SegmentAdapters<'a> {
    /// Adapters for runs of rows, in order and apart. `training` records gradients where they are on, and turns dropout on
    /// where an adapter has it.
    pub fn new(runs: Vec<Run<'a>>, training: bool) -> Self {
        Self { runs, training }
    }

    fn active(&self, layer: usize, site: Site) -> impl Iterator<Item = (&SiteFactors, i64, i64)> {
        self.runs.iter().filter_map(move |run| {
            let factors = run.adapter?.factors(layer, site)?;
            Some((factors, run.rows.start as i64, run.rows.len() as i64))
        })
    }

    /// The factors of each run at a site, as the differentiable kernels read them.
    pub fn segments(&self, layer: usize, site: Site) -> Vec<LoraSegment<'_>> {
        self.active(layer, site).map(|(factors, start, length)| factors.segment(start, length)).collect()
    }

    /// Whether some adapter here drops inputs at random.
    pub fn drops_inputs(&self) -> bool {
        self.training && self.runs.iter().any(|run| rate(run) > 0.0)
    }

    /// What the low-rank parts read instead of `x`, if some adapter drops inputs.
    fn dropped(&self, x: &Tensor) -> Option<Tensor> {
        if !self.drops_inputs() {
            return None;
        }
        let mut parts = Vec::new();
        let mut done = 0;
        for run in &self.runs {
            let part = |from: usize, to: usize| x.narrow(0, from as i64, (to - from) as i64);
            parts.push(part(done, run.rows.start));
            parts.push(part(run.rows.start, run.rows.end).dropout(rate(run), true));
            done = run.rows.end;
        }
        parts.push(x.narrow(0, done as i64, x.size()[0] - done as i64));
        Some(Tensor::cat(&parts, 0))
    }
}

fn rate(run: &Run<'_>) -> f64 {
    run.adapter.map_or(0.0, |adapter| adapter.config().dropout)
}

impl RowAdapters for SegmentAdapters<'_> {
    fn add(&self, layer: usize, site: Site, x: &Tensor, mut out: Tensor) -> Tensor {
        let factors: Vec<_> =
            self.active(layer, site).map(|(factors, start, length)| factors.thin(start, length)).collect();
        if !factors.is_empty() {
            add_segments(&mut out, x, &factors).unwrap_or_else(|error| panic!("layer {layer}, {site:?}: {error}"));
        }
        out
    }

    fn linear(&self, layer: usize, site: Site, x: &Tensor, linear: &Linear) -> Tensor {
        // A pass of training runs one way whether or not it records: with checkpointing it runs twice and must agree with itself.
        if !self.training {
            return self.add(layer, site, x, linear.forward(x));
        }
        let segments = self.segments(layer, site);
        let low = if segments.is_empty() { None } else { self.dropped(x) };
        lora_linear(x, low.as_ref(), linear.weight(), linear.bias(), &segments)
            .unwrap_or_else(|error| panic!("layer {layer}, {site:?}: {error}"))
    }
}
