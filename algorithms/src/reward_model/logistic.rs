//! Binary cross entropy on a logit, stable for every logit and exact for soft labels.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]
#![expect(clippy::needless_bitwise_bool, reason = "a branch keeps the fused loop from vectorising")]

use crate::loss::{Lane, LossError, Objective, Term, within};

/// softplus(r) - y r, which is -[ y log σ(r) + (1 - y) log(1 - σ(r)) ]. NaN for a label outside [0, 1].
#[derive(Clone, Copy)]
pub(crate) struct CrossEntropy;

impl<F: Lane> Objective<F, 1> for CrossEntropy {
    const COLUMNS: usize = 2;
    // Where r or y is not finite, neither is the loss.
    const WITNESS: bool = false;

    #[inline(always)]
    fn term<const FUSED: bool>(self, r: F, y: F, _: F) -> Term<F, 1> {
        let (zero, half) = (<F as Lane>::ZERO, F::narrow(0.5));
        // ln(1 + e^-|r|) and σ(r)
        let (tail, probability) = (-r).log_sigmoid_parts::<FUSED>();
        let loss = (-y).times_plus::<FUSED>(r, r.most(zero)) + tail;
        let labelled = (y >= zero) & (y <= F::ONE);
        // A judge on the fence is right about nothing.
        let right = (if y >= half { r } else { -r }) > zero;
        Term {
            loss: if labelled { loss } else { F::narrow(f64::NAN) },
            grad: probability - y,
            stats: [F::indicator(right)],
        }
    }
}

/// What is wrong with a batch that was refused: the first label outside [0, 1] where it counts, or `error`.
pub(crate) fn name_label<F: Lane>(error: LossError, label: &[F], in_loss: &[bool]) -> LossError {
    let labels = label.iter().zip(in_loss).filter(|(_, keep)| **keep).map(|(label, _)| label.wide());
    let hint = "1 is right, 0 is wrong; fractions are soft labels";
    labels.map(|y| within("label", y, (0.0..=1.0).contains(&y), "[0, 1]", hint)).find_map(Result::err).unwrap_or(error)
}
