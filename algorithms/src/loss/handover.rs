//! Between the host's columns and autograd: reads the one column that carries a gradient, and hands its gradient back.
//!
//! The loss is computed outside autograd together with its exact gradient g. What is returned is
//! `<g, x> + (loss - <g, x>)` with the bracket detached: its value is the loss, its derivative by x is g.

use std::ops::Range;

use tch::{Device, Tensor};

use super::batch::token_count;
use super::error::LossError;
use super::lane::Lane;

/// Tokens worked on at a time: a few columns of this length stay in the second-level cache.
const SPAN: usize = 32_768;

/// Whole sequences worked on together.
pub(crate) struct Span<'a> {
    /// Their tokens in the flat batch.
    pub tokens: Range<usize>,
    /// Tokens per sequence.
    pub lengths: &'a [usize],
}

/// Cuts a batch into runs of whole sequences of about [`SPAN`] tokens.
pub(crate) fn spans(lengths: &[usize]) -> impl Iterator<Item = Span<'_>> {
    let (mut sequence, mut token) = (0, 0);
    std::iter::from_fn(move || {
        let (from, start) = (sequence, token);
        while sequence < lengths.len() && (sequence == from || token - start + lengths[sequence] <= SPAN) {
            token += lengths[sequence];
            sequence += 1;
        }
        (sequence > from).then(|| Span { tokens: start..token, lengths: &lengths[from..sequence] })
    })
}

/// The variable of a loss and, once every span has been worked on, the gradient of the loss by it.
pub(crate) struct Handover {
    variable: Tensor,
    host: Tensor,
    gradient: Tensor,
}

impl Handover {
    /// Takes the variable `[n]`; other kinds than `F` are converted, with gradient.
    pub(crate) fn new<F: Lane>(what: &'static str, variable: &Tensor) -> Result<Self, LossError> {
        let tokens = token_count(what, variable)?;
        let variable = variable.f_to_kind(F::KIND)?;
        let host = variable.detach().f_to_device(Device::Cpu)?.f_contiguous()?;
        let gradient = Tensor::f_empty([tokens as i64], (F::KIND, Device::Cpu))?;
        Ok(Self { variable, host, gradient })
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.host.numel()
    }

    /// Copies the variable's values at `tokens` into `values`.
    pub(crate) fn read<F: Lane>(&self, tokens: &Range<usize>, values: &mut Vec<F>) -> Result<(), LossError> {
        values.resize(tokens.len(), <F as Lane>::ZERO);
        self.host.f_narrow(0, tokens.start as i64, tokens.len() as i64)?.f_copy_data(values, tokens.len())?;
        Ok(())
    }

    /// Stores the gradient at `tokens`.
    pub(crate) fn write<F: Lane>(&mut self, tokens: &Range<usize>, gradient: &[F]) -> Result<(), LossError> {
        let part = Tensor::f_from_slice(gradient)?;
        self.gradient.f_narrow(0, tokens.start as i64, tokens.len() as i64)?.f_copy_(&part)?;
        Ok(())
    }

    /// A scalar with the value `loss` and the stored gradient.
    pub(crate) fn finish(self, loss: f64) -> Result<Tensor, LossError> {
        let Self { variable, gradient, .. } = self;
        let gradient = gradient.f_to_device(variable.device())?;
        let mut carrier = variable.f_dot(&gradient)?;
        if !carrier.f_double_value(&[])?.is_finite() {
            // Tokens outside the loss may hold anything; their gradient is zero, but 0 * inf is not.
            carrier = variable.f_nan_to_num(Some(0.0), Some(0.0), Some(0.0))?.f_dot(&gradient)?;
        }
        let offset = loss - carrier.f_double_value(&[])?;
        Ok(carrier.f_add_scalar(offset)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_every_sequence_once() {
        let lengths = [10, 40_000, 5, 0, 30_000, 2763, 1];
        let cut: Vec<_> = spans(&lengths).map(|span| (span.tokens, span.lengths.len())).collect();
        assert_eq!(cut, [(0..10, 1), (10..40_010, 1), (40_010..72_778, 4), (72_778..72_779, 1)]);
        assert_eq!(spans(&[]).count(), 0);
    }

    #[test]
    fn value_and_gradient_are_what_was_stored() {
        let x = Tensor::from_slice(&[1.0f64, 2.0, f64::NAN]).set_requires_grad(true);
        let mut handover = Handover::new::<f64>("x", &x).unwrap();
        handover.write(&(0..3), &[0.5, -2.0, 0.0]).unwrap();
        let loss = handover.finish(7.25).unwrap();
        loss.backward();
        assert_eq!(loss.double_value(&[]), 7.25);
        assert_eq!(Vec::<f64>::try_from(x.grad()).unwrap(), [0.5, -2.0, 0.0]);
    }
}
