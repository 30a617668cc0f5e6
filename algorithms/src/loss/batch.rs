//! What every policy loss takes: the flat, ragged columns of a batch, all policies and sequences after one another.
//!
//! Only the new log-probabilities carry a gradient and live on a device. Everything else was known before the update
//! began, so it is taken as plain slices: a loss is a few operations per token, and one pass on the host is cheaper
//! than a chain of tensor operations, and says *which* token was bad. [`TokenColumns`] reads tensors into such columns.

use tch::{Kind, Tensor};

use super::aggregate::Totals;
use super::error::{LossError, same_length};
use super::lane::Lane;

/// The constant columns of a batch of `n` tokens in sequences. Tokens outside the loss may hold anything, NaN included.
#[derive(Debug, Clone, Copy)]
pub struct PolicyBatch<'a, F> {
    /// `[n]` Log-probability of each token under the policy the ratio is taken against, nats.
    pub logp_old: &'a [F],
    /// `[n]` Advantage of each token.
    pub advantage: &'a [F],
    /// `[n]` Whether the token is in the loss.
    pub in_loss: &'a [bool],
    /// Tokens per sequence, in the loss or not; they sum to `n`.
    pub lengths: &'a [usize],
    /// `[n]` Factor on each token's term: importance weights ([`tis`](mod@super::tis)), HAPPO's factor M. `None` is 1.
    pub weight: Option<&'a [F]>,
    /// `[n]` Log-probability under the reference policy, nats; only objectives with a KL term read it.
    pub logp_ref: Option<&'a [F]>,
    /// Counts of the whole batch when this is a chunk of it; `None` counts this batch.
    pub totals: Option<Totals>,
}

impl<'a, F: Lane> PolicyBatch<'a, F> {
    /// A batch without weights and without a reference.
    pub fn new(logp_old: &'a [F], advantage: &'a [F], in_loss: &'a [bool], lengths: &'a [usize]) -> Self {
        Self { logp_old, advantage, in_loss, lengths, weight: None, logp_ref: None, totals: None }
    }

    /// The same batch with a factor on each token's term.
    #[must_use]
    pub fn weighted(self, weight: &'a [F]) -> Self {
        Self { weight: Some(weight), ..self }
    }

    /// The same batch with the log-probabilities of a reference policy.
    #[must_use]
    pub fn with_reference(self, logp_ref: &'a [F]) -> Self {
        Self { logp_ref: Some(logp_ref), ..self }
    }

    /// The same batch as a chunk of a larger one: means are taken over `totals`.
    #[must_use]
    pub fn within(self, totals: Totals) -> Self {
        Self { totals: Some(totals), ..self }
    }

    /// The counts that means are taken over.
    pub fn totals(&self) -> Totals {
        self.totals.unwrap_or_else(|| Totals::count(self.in_loss, self.lengths))
    }

    /// Refuses columns that do not describe `tokens` tokens.
    pub(crate) fn check(&self, tokens: usize) -> Result<(), LossError> {
        same_length("logp_old", self.logp_old.len(), tokens)?;
        same_length("advantage", self.advantage.len(), tokens)?;
        same_length("in_loss", self.in_loss.len(), tokens)?;
        same_length("the sum of lengths", self.lengths.iter().sum(), tokens)?;
        same_length("weight", self.weight.map_or(tokens, <[F]>::len), tokens)?;
        same_length("logp_ref", self.logp_ref.map_or(tokens, <[F]>::len), tokens)
    }
}

/// Owned columns, read from tensors of any float kind, on any device.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenColumns<F> {
    /// `[n]` Old log-probabilities.
    pub logp_old: Vec<F>,
    /// `[n]` Advantages.
    pub advantage: Vec<F>,
    /// `[n]` Mask.
    pub in_loss: Vec<bool>,
    /// Tokens per sequence.
    pub lengths: Vec<usize>,
}

impl<F: Lane> TokenColumns<F> {
    /// Reads flat tensors of shape `[n]`. `in_loss` may be of any kind (non-zero is in the loss; `None` is all), and
    /// never decides the kind of the result.
    pub fn read(
        logp_old: &Tensor,
        advantage: &Tensor,
        in_loss: Option<&Tensor>,
        lengths: &[usize],
    ) -> crate::Result<Self> {
        let logp_old = column("logp_old", logp_old)?;
        let in_loss = match in_loss {
            None => vec![true; logp_old.len()],
            Some(mask) => flat("in_loss", &mask.f_ne(0).map_err(LossError::from)?, Kind::Bool)?,
        };
        Ok(Self { logp_old, advantage: column("advantage", advantage)?, in_loss, lengths: lengths.to_vec() })
    }

    /// Borrows the columns as a batch.
    pub fn batch(&self) -> PolicyBatch<'_, F> {
        PolicyBatch::new(&self.logp_old, &self.advantage, &self.in_loss, &self.lengths)
    }
}

/// Reads a one-dimensional tensor of floats.
pub(crate) fn column<F: Lane>(what: &'static str, tensor: &Tensor) -> Result<Vec<F>, LossError> {
    flat(what, tensor, F::KIND)
}

fn flat<T: tch::kind::Element>(what: &'static str, tensor: &Tensor, kind: Kind) -> Result<Vec<T>, LossError> {
    let length = token_count(what, tensor)?;
    let mut values = vec![T::ZERO; length];
    tensor.detach().f_to_kind(kind)?.f_copy_data(&mut values, length)?;
    Ok(values)
}

/// The number of elements of a one-dimensional tensor.
pub(crate) fn token_count(what: &'static str, tensor: &Tensor) -> Result<usize, LossError> {
    match *tensor.size() {
        [length] => Ok(length as usize),
        ref other => Err(LossError::Shape { what, got: other.to_vec(), want: "[n], one entry per token" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_mask_stays_a_mask() {
        let logp = Tensor::from_slice(&[-0.5f64, -1.0]);
        let advantage = Tensor::from_slice(&[0.7f32, -1.9]);
        let mask = Tensor::from_slice(&[1i64, 0]);
        let columns = TokenColumns::<f32>::read(&logp, &advantage, Some(&mask), &[2]).unwrap();
        assert_eq!(columns.advantage, [0.7, -1.9]);
        assert_eq!(columns.in_loss, [true, false]);
        assert_eq!(columns.logp_old, [-0.5, -1.0]);
    }

    #[test]
    fn columns_of_other_lengths_are_refused_by_name() {
        let batch = PolicyBatch::new(&[0.0f32; 3], &[0.0; 3], &[true; 3], &[1, 1]);
        let error = batch.check(3).unwrap_err();
        assert_eq!(error, LossError::Length { what: "the sum of lengths", got: 2, want: 3 });
        let matrix = Tensor::zeros([2, 2], tch::kind::FLOAT_CPU);
        assert!(TokenColumns::<f32>::read(&matrix, &matrix, None, &[4]).is_err());
    }
}
