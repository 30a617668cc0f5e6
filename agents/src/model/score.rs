//! Log-probabilities of a given sequence.

use marft_torch::GradMode;
use tch::{Kind, Tensor};

use super::causal::CausalAttend;
use super::decoder::Decoder;
use super::error::ModelError;
use super::pass::{RowAdapters, Rows};

/// Rows whose logits are in memory at once.
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
        let mut scores = Vec::with_capacity(wide.len() - 1);
        let last = wide.len() as i64 - 1;
        for start in (0..last).step_by(HEAD_ROWS as usize) {
            let rows = HEAD_ROWS.min(last - start);
            let logits = self.logits(&hidden.narrow(0, start, rows), adapters).to_kind(Kind::Float);
            let targets = ids.narrow(0, start + 1, rows).unsqueeze(-1);
            let chosen = logits.gather(-1, &targets, false).squeeze_dim(-1) - logits.logsumexp([-1_i64], false);
            let chosen: Vec<f32> =
                Vec::try_from(chosen).map_err(|error| ModelError::torch("reading log-probabilities", &error))?;
            scores.extend(chosen);
        }
        Ok(scores)
    }
}
