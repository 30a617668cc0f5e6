//! # What it is
//! The critic's loss: distance of value from return, optionally clipped around the old value as PPO clips its ratio.
//!
//! # Objective (formula)
//! ```text
//! V_clip = V_old + clip(V - V_old, -ε, ε)
//! L = c_V agg( max( f(R - V_clip), f(R - V) ) )
//! f(e) = e²/2                                             mse
//! f(e) = e²/2 for |e| <= δ,  δ (|e| - δ/2) beyond         huber
//! ```
//! `huber_one_sided` is the huber of MARFT v1, which is 0 for e < -δ: a critic far above its return learns nothing. It
//! exists for parity only.
//!
//! # When to use it, when not
//! Clipping slows a critic that reuses a batch; with one epoch it does nothing, and with unscaled returns (|R| ≫ ε) it
//! keeps the critic from ever arriving: set `clip` to none there. Huber where returns have outliers.
//!
//! # Shapes, units, errors
//! `value` `[n]` with gradient; the rest of [`ValueBatch`] as in [`PolicyBatch`](crate::loss::PolicyBatch). Units of
//! the return. Refused: other lengths, ε or δ that are not positive, a NaN or infinity in the loss. Nothing in the loss
//! gives 0.
//!
//! # References
//! PPO2 (OpenAI baselines); MAPPO, arXiv 2103.01955 (huber, δ = 10). verl `cliprange_value` 0.5; TRL `cliprange_value`
//! 0.2, `vf_coef` 0.1; MARFT `huber_delta` 10.
//!
//! # Example
//! ```
//! use marft_algorithms::value::{ValueBatch, ValueLossConfig, value_loss};
//! let value = tch::Tensor::from_slice(&[0.9_f64]).set_requires_grad(true);
//! let batch = ValueBatch::new(&[0.5], &[1.0], &[true], &[1]);
//! // V_clip = 0.7: max(0.3², 0.1²) / 2
//! assert!((value_loss(&value, &batch, &ValueLossConfig::default())?.value - 0.045).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]
#![expect(clippy::needless_bitwise_bool, reason = "a branch keeps the fused loop from vectorising")]

use serde::Deserialize;
use tch::Tensor;

use crate::loss::{
    Aggregation, Alone, Lane, LossError, Objective, Pass, Spread, Term, Tokens, Totals, counts, positive, within,
};

/// f of the module documentation.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueCurve {
    /// e²/2.
    #[default]
    Mse,
    /// Linear beyond δ, on both sides.
    Huber(f64),
    /// Zero below -δ: MARFT v1's defect, for parity.
    HuberOneSided(f64),
}

/// Settings of [`value_loss`].
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValueLossConfig {
    /// ε; `None` does not clip. Default 0.2.
    #[serde(alias = "cliprange_value", alias = "value_clip")]
    pub clip: Option<f64>,
    /// f. Default mse; MARFT uses `{ huber = 10.0 }`.
    pub curve: ValueCurve,
    /// c_V. Default 1; TRL's single optimiser uses 0.1.
    #[serde(alias = "vf_coef", alias = "value_loss_coef")]
    pub coefficient: f64,
    /// How elements become one number. Default `token-mean`.
    #[serde(alias = "loss_agg_mode")]
    pub aggregation: Aggregation,
}

impl Default for ValueLossConfig {
    fn default() -> Self {
        Self { clip: Some(0.2), curve: ValueCurve::Mse, coefficient: 1.0, aggregation: Aggregation::TokenMean }
    }
}

/// The constant columns of a batch of `n` values.
#[derive(Debug, Clone, Copy)]
pub struct ValueBatch<'a, F> {
    /// `[n]` Values before the update.
    pub value_old: &'a [F],
    /// `[n]` Returns to regress on.
    pub returns: &'a [F],
    /// `[n]` Whether the element is in the loss.
    pub in_loss: &'a [bool],
    /// Elements per sequence.
    pub lengths: &'a [usize],
    /// Counts of the whole batch when this is a chunk of it.
    pub totals: Option<Totals>,
}

impl<'a, F: Lane> ValueBatch<'a, F> {
    /// A whole batch.
    pub fn new(value_old: &'a [F], returns: &'a [F], in_loss: &'a [bool], lengths: &'a [usize]) -> Self {
        Self { value_old, returns, in_loss, lengths, totals: None }
    }
}

/// A value loss, ready for `backward`.
#[derive(Debug)]
pub struct ValueLoss {
    /// Scalar with gradient.
    pub loss: Tensor,
    /// Its value, in f64.
    pub value: f64,
    /// What happened on the way.
    pub diagnostics: ValueDiagnostics,
}

/// Statistics over the elements in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ValueDiagnostics {
    /// Elements in the loss.
    pub elements: usize,
    /// Fraction of elements whose value moved out of the clip range and have no gradient for it.
    pub clip_fraction: f64,
    /// Mean of R - V.
    pub mean_error: f64,
    /// Mean of (R - V)².
    pub mean_squared_error: f64,
    /// 1 - var(R - V) / var(R): 1 is a perfect critic, 0 one no better than a constant. 0 for a constant return.
    pub explained_variance: f64,
}

/// f of the module documentation as a type of its own: with the choice inside the loop, the loop would not vectorise.
trait Curve<F>: Copy + Sync {
    /// f and its derivative.
    fn at(self, e: F) -> (F, F);
}

#[derive(Clone, Copy)]
struct Square;

impl<F: Lane> Curve<F> for Square {
    #[inline(always)]
    fn at(self, e: F) -> (F, F) {
        (F::narrow(0.5) * e * e, e)
    }
}

#[derive(Clone, Copy)]
struct Huber<F, const ONE_SIDED: bool> {
    delta: F,
}

impl<F: Lane, const ONE_SIDED: bool> Curve<F> for Huber<F, ONE_SIDED> {
    #[inline(always)]
    fn at(self, e: F) -> (F, F) {
        let (half, zero, delta) = (F::narrow(0.5), <F as Lane>::ZERO, self.delta);
        // δ (|e| - δ/2) is e c - c²/2 with e limited to c = ±δ, and so is e²/2 within.
        let limited = e.least(delta).most(-delta);
        let beyond = (limited * (e - half * limited), limited);
        if ONE_SIDED && e < -delta { (zero, zero) } else { beyond }
    }
}

#[derive(Clone, Copy)]
struct Regression<F, C> {
    clip: F,
    curve: C,
    coefficient: F,
}

impl<F: Lane, C: Curve<F>> Objective<F, 5> for Regression<F, C> {
    #[inline(always)]
    fn term<const FUSED: bool>(self, value: F, old: F, target: F) -> Term<F, 5> {
        let moved = (value - old).least(self.clip).most(-self.clip);
        let inside = moved == value - old;
        let error = target - value;
        let (free, slope) = self.curve.at(error);
        let (bound, _) = self.curve.at(if inside { error } else { target - (old + moved) });
        let flows = inside | (free > bound);
        Term {
            loss: self.coefficient * free.most(bound),
            grad: if flows { -self.coefficient * slope } else { <F as Lane>::ZERO },
            stats: [error * error, error, target, target * target, F::indicator(!flows)],
        }
    }
}

/// The critic's loss. See the [module documentation](self).
pub fn value_loss<F: Lane>(
    value: &Tensor,
    batch: &ValueBatch<'_, F>,
    config: &ValueLossConfig,
) -> crate::Result<ValueLoss> {
    check(config)?;
    match config.curve {
        ValueCurve::Mse => regress(value, batch, config, Square),
        ValueCurve::Huber(delta) => regress(value, batch, config, Huber::<F, false> { delta: F::narrow(delta) }),
        ValueCurve::HuberOneSided(delta) => regress(value, batch, config, Huber::<F, true> { delta: F::narrow(delta) }),
    }
}

fn regress<F: Lane, C: Curve<F>>(
    value: &Tensor,
    batch: &ValueBatch<'_, F>,
    config: &ValueLossConfig,
    curve: C,
) -> crate::Result<ValueLoss> {
    let objective = Regression {
        clip: F::narrow(config.clip.unwrap_or(f64::MAX)),
        curve,
        coefficient: F::narrow(config.coefficient),
    };
    let counts = counts(batch.in_loss, batch.lengths);
    let own = Totals::of(&counts);
    let pass = Pass {
        names: ["value", "value_old", "returns", "value", "weight"],
        old: Some(batch.value_old),
        target: Some(batch.returns),
        other: None,
        in_loss: Some(batch.in_loss),
        lengths: batch.lengths,
        spread: Spread::Aggregated(config.aggregation, batch.totals.unwrap_or(own), &counts),
        factor: None,
    };
    let (loss, sums) = pass.run(value, Tokens(Alone(objective)))?;
    Ok(ValueLoss { loss, value: sums.loss, diagnostics: report(own.tokens, sums.stats) })
}

fn check(config: &ValueLossConfig) -> Result<(), LossError> {
    config.aggregation.check()?;
    if let Some(clip) = config.clip {
        positive("clip", clip, "in units of the return, for example 0.2; leave it out for no clipping")?;
    }
    if let ValueCurve::Huber(delta) | ValueCurve::HuberOneSided(delta) = config.curve {
        positive("huber delta", delta, "in units of the return, for example 10")?;
    }
    let c = config.coefficient;
    within("coefficient", c, c >= 0.0 && c.is_finite(), "[0, inf)", "1 where the critic has its own optimiser")
}

fn report(elements: usize, [squared, error, target, target_squared, clipped]: [f64; 5]) -> ValueDiagnostics {
    if elements == 0 {
        return ValueDiagnostics::default();
    }
    let n = elements as f64;
    let variance = |square: f64, sum: f64| (square / n - (sum / n).powi(2)).max(0.0);
    let spread = variance(target_squared, target);
    ValueDiagnostics {
        elements,
        clip_fraction: clipped / n,
        mean_error: error / n,
        mean_squared_error: squared / n,
        explained_variance: if spread > 0.0 { 1.0 - variance(squared, error) / spread } else { 0.0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::testing::{assert_close, gradient, variable};

    const NEW: [f64; 5] = [0.9, 0.2, -30.0, 30.0, 0.5];
    const OLD: [f64; 5] = [0.5, 0.25, -30.0, 30.0, 0.5];
    const RETURNS: [f64; 5] = [1.0, 0.0, 0.0, 0.0, 0.6];

    /// Fixture `value_loss`, three curves; one item at a time gives the fixture's `per_item`.
    #[test]
    fn the_reference_numbers() {
        let cases = [
            (ValueCurve::Huber(10.0), [0.045, 0.02, 250.0, 250.0, 0.005], 100.014),
            (ValueCurve::HuberOneSided(10.0), [0.045, 0.02, 250.0, 0.0, 0.005], 50.014),
            (ValueCurve::Mse, [0.045, 0.02, 450.0, 450.0, 0.005], 180.014),
        ];
        for (curve, per_item, total) in cases {
            let config = ValueLossConfig { curve, ..ValueLossConfig::default() };
            let all = value_loss(&variable(&NEW), &ValueBatch::new(&OLD, &RETURNS, &[true; 5], &[5]), &config).unwrap();
            assert_close(&[all.value], &[total], 1e-9);
            for item in 0..5 {
                let one = |column: &[f64; 5]| [column[item]];
                let (old, returns) = (one(&OLD), one(&RETURNS));
                let batch = ValueBatch::new(&old, &returns, &[true], &[1]);
                let out = value_loss(&variable(&one(&NEW)), &batch, &config).unwrap();
                assert_close(&[out.value], &[per_item[item]], 1e-9);
            }
        }
    }

    /// By hand: item 1 is out of range and the clipped branch is larger, so no gradient; the others -f'(R - V) / 5.
    #[test]
    fn the_gradient_is_that_of_the_larger_branch() {
        let new = variable(&NEW);
        let config = ValueLossConfig { curve: ValueCurve::Huber(10.0), coefficient: 2.0, ..ValueLossConfig::default() };
        let out = value_loss(&new, &ValueBatch::new(&OLD, &RETURNS, &[true; 5], &[5]), &config).unwrap();
        assert_close(&gradient(&out.loss, &new), &[0.0, 0.08, -4.0, 4.0, -0.04], 1e-12);
        assert_close(&[out.diagnostics.clip_fraction], &[0.2], 1e-12);
    }

    #[test]
    fn without_clip_it_is_half_the_squared_error() {
        let new = variable(&[0.9, 0.2, 5.0]);
        let config = ValueLossConfig { clip: None, ..ValueLossConfig::default() };
        let batch = ValueBatch::new(&[0.5, 0.25, f64::NAN], &[1.0, 0.0, 0.0], &[true, true, false], &[3]);
        let out = value_loss(&new, &batch, &config).unwrap();
        assert_close(&[out.value], &[(0.01 + 0.04) / 4.0], 1e-12);
        assert_close(&gradient(&out.loss, &new), &[-0.05, 0.1, 0.0], 1e-12);
        // var(R) = 0.25, R - V = 0.1, -0.2: var 0.0225.
        assert_close(&[out.diagnostics.explained_variance], &[1.0 - 0.0225 / 0.25], 1e-12);
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        let refused = |config: ValueLossConfig| {
            value_loss(&variable(&[0.0]), &ValueBatch::new(&[0.0], &[0.0], &[true], &[1]), &config).is_err()
        };
        assert!(refused(ValueLossConfig { clip: Some(0.0), ..ValueLossConfig::default() }));
        assert!(refused(ValueLossConfig { curve: ValueCurve::Huber(-1.0), ..ValueLossConfig::default() }));
        let read: ValueLossConfig =
            serde_json::from_str(r#"{"cliprange_value": 0.5, "vf_coef": 0.1, "curve": {"huber": 10}}"#).unwrap();
        assert_eq!(read.curve, ValueCurve::Huber(10.0));
    }
}
