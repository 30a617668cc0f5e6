//! Losses of a single column with gradient: entropy bonus, KL in the loss, supervised likelihood.

use tch::Tensor;

use super::aggregate::{Aggregation, Totals};
use super::error::{LossError, same_length};
use super::fused::{Columns, Objective, Sums, accumulate};
use super::handover::{Handover, spans};
use super::lane::Lane;
use super::policy::fill_weights;

/// A loss with one statistic.
#[derive(Debug)]
pub struct ScalarLoss {
    /// Scalar with gradient.
    pub loss: Tensor,
    /// The value of `loss`, in f64.
    pub value: f64,
    /// Mean over the tokens in the loss of what the loss is made of (entropy, divergence, log-likelihood), unweighted.
    pub mean: f64,
    /// Tokens in the loss.
    pub tokens: usize,
}

/// Computes a loss of `variable` and, optionally, a constant column `other` under the name given with it.
pub(crate) fn one_column<F: Lane, O: Objective<F, 1>>(
    name: &'static str,
    variable: &Tensor,
    other: Option<(&'static str, &[F])>,
    in_loss: &[bool],
    lengths: &[usize],
    totals: Option<Totals>,
    aggregation: Aggregation,
    objective: O,
) -> Result<ScalarLoss, LossError> {
    aggregation.check()?;
    let own = Totals::count(in_loss, lengths);
    let totals = totals.unwrap_or(own);
    let weigh = |weight: &mut Vec<F>, lengths: &[usize], in_loss: &[bool], _: usize| {
        fill_weights(weight, aggregation, totals, lengths, in_loss);
    };
    weighted_column(name, variable, other, in_loss, lengths, objective, weigh)
}

/// The same with weights of the caller's making: `weigh` fills them for a run of sequences that starts at a token.
pub(crate) fn weighted_column<F: Lane, O: Objective<F, 1>>(
    name: &'static str,
    variable: &Tensor,
    other: Option<(&'static str, &[F])>,
    in_loss: &[bool],
    lengths: &[usize],
    objective: O,
    mut weigh: impl FnMut(&mut Vec<F>, &[usize], &[bool], usize),
) -> Result<ScalarLoss, LossError> {
    let mut handover = Handover::new::<F>(name, variable)?;
    same_length("in_loss", in_loss.len(), handover.len())?;
    same_length("the sum of lengths", lengths.iter().sum(), handover.len())?;
    if let Some((what, column)) = other {
        same_length(what, column.len(), handover.len())?;
    }
    let names = [name, other.map_or(name, |(what, _)| what), name, "weight"];
    let mut sums = Sums::<1>::new();
    let (mut new, mut weight, mut gradient) = (Vec::new(), Vec::new(), Vec::new());
    for span in spans(lengths) {
        let range = span.tokens.clone();
        handover.read(&range, &mut new)?;
        let in_loss = &in_loss[range.clone()];
        weigh(&mut weight, span.lengths, in_loss, range.start);
        gradient.clear();
        gradient.resize(new.len(), <F as Lane>::ZERO);
        let old = other.map_or(&new[..], |(_, column)| &column[range.clone()]);
        let columns = Columns { new: &new, old, target: &new, weight: &weight, in_loss };
        accumulate(objective, columns, names, range.start, &mut gradient, &mut sums)?;
        handover.write(&range, &gradient)?;
    }
    let tokens = super::aggregate::count_kept(in_loss);
    let loss = handover.finish(sums.loss)?;
    Ok(ScalarLoss { loss, value: sums.loss, mean: sums.stats[0] / tokens.max(1) as f64, tokens })
}
