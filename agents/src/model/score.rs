//! Log-probabilities of a given sequence.

use marft_torch::GradMode;
use tch::{Kind, Tensor};

use super::causal::CausalAttend;
use super::decoder::Decoder;
use super::error::ModelError;
use super::pass::{RowAdapters, Rows};

/// Rows whose logits are in memory at once, where no adapter counts the rows of the whole pass.
const HEAD_ROWS: i64 = 256;

impl Decoder {
    /// The log-probability of each of `ids` after the first, given those before it: `ids.len() − 1` values, by softmax in
    /// f32 at temperature 1. Records no gradient.
    pub fn score(&self, ids: &[u32], adapters: Option<&dyn RowAdapters>) -> Result<Vec<f32>, ModelError> {
        let _no_grad = GradMode::off();
        if ids.len() < 2 {
            return Ok(Vec::new());
        }
        let device = self.placement().device;
        let wide: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_slice(&wide).to_device(device);
        let positions = Tensor::arange(wide.len() as i64, (Kind::Int64, device));
        let hidden = self.hidden(Rows { ids: &ids, positions: &positions }, &mut CausalAttend, adapters)?;
        let chunk = if adapters.is_some() { wide.len() as i64 } else { HEAD_ROWS };
        let mut scores = Vec::with_capacity(wide.len());
        for (hidden, targets) in hidden.split(chunk, 0).iter().zip(ids.roll([-1], [0]).split(chunk, 0)) {
            let logits = self.logits(hidden, adapters).to_kind(Kind::Float);
            let chosen = logits.gather(-1, &targets.unsqueeze(-1), false).squeeze_dim(-1);
            let chosen: Vec<f32> = Vec::try_from(chosen - logits.logsumexp([-1_i64], false))
                .map_err(|error| ModelError::torch("reading log-probabilities", &error))?;
            scores.extend(chosen);
        }
        // The last row predicts what is not there.
        scores.pop();
        Ok(scores)
    }
}
