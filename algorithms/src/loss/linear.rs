//! Losses of a single column with gradient: entropy bonus, KL in the loss, supervised likelihood.

use tch::Tensor;

use super::aggregate::{Aggregation, Totals, count_kept, counts};
use super::error::LossError;
use super::fused::{Alone, Objective};
use super::lane::Lane;
use super::pass::{Pass, Spread};
use super::tokens::Tokens;

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
    let counts = counts(in_loss, lengths);
    let spread = Spread::Aggregated(aggregation, totals.unwrap_or_else(|| Totals::of(&counts)), &counts);
    spread_column(name, variable, other, Some(in_loss), lengths, objective, spread, None)
}

/// The same with a weight of its own for each token: the spread times a factor. Without `in_loss` all are in the loss.
pub(crate) fn spread_column<F: Lane, O: Objective<F, 1>>(
    name: &'static str,
    variable: &Tensor,
    other: Option<(&'static str, &[F])>,
    in_loss: Option<&[bool]>,
    lengths: &[usize],
    objective: O,
    spread: Spread<'_>,
    factor: Option<&[F]>,
) -> Result<ScalarLoss, LossError> {
    let (other_name, old) = other.map_or((name, None), |(name, column)| (name, Some(column)));
    let pass = Pass {
        names: [name, other_name, name, name, "weight"],
        old,
        target: None,
        other: None,
        in_loss,
        lengths,
        spread,
        factor,
    };
    let (loss, sums) = pass.run(variable, Tokens(Alone(objective)))?;
    let tokens = match spread {
        Spread::Aggregated(_, _, counts) => counts.iter().sum(),
        Spread::Even(_) => in_loss.map_or(variable.numel(), count_kept),
    };
    Ok(ScalarLoss { loss, value: sums.loss, mean: sums.stats[0] / tokens.max(1) as f64, tokens })
}
