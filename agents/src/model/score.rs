//! Log-probabilities of a given sequence.

use marft_torch::GradMode;
use tch::{Kind, Tensor};

use super::causal::CausalAttend;
use super::decoder::Decoder;
use super::error::ModelError;
use super::pass::{AdaptersOf, Rows};

/// Rows whose logits are in memory at once.
const HEAD_ROWS: i64 = 256;

impl Decoder {
    /// The log-probability of each of `ids` after the first, given those before it: `ids.len() − 1` values, by softmax in
    /// f32 at temperature 1. Records no gradient. `adapters` are asked for once for all rows of the blocks, and once for each
    /// part of them that meets the head.
    pub fn score(&self, ids: &[u32], adapters: Option<&AdaptersOf<'_>>) -> Result<Vec<f32>, ModelError> {
        let _no_grad = GradMode::off();
        if ids.len() < 2 {
            return Ok(Vec::new());
        }
        let device = self.placement().device;
        let wide: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_slice(&wide).to_device(device);
        let positions = Tensor::arange(wide.len() as i64, (Kind::Int64, device));
        let whole = adapters.map(|of| of(0..wide.len()));
        let hidden = self.hidden(Rows { ids: &ids, positions: &positions }, &mut CausalAttend, whole.as_deref())?;
        let mut scores = Vec::with_capacity(wide.len());
        for (hidden, targets) in hidden.split(HEAD_ROWS, 0).iter().zip(ids.roll([-1], [0]).split(HEAD_ROWS, 0)) {
            let part = adapters.map(|of| of(scores.len()..scores.len() + hidden.size()[0] as usize));
            let logits = self.logits(hidden, part.as_deref()).to_kind(Kind::Float);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::ops::Range;

    use super::*;
    use crate::model::{Placement, RowAdapters, Site, random};

    /// Adds 1 to the logit of a row's own number modulo the vocabulary, and writes down how many rows the head meets.
    struct Marks<'a> {
        rows: Range<usize>,
        met: &'a RefCell<Vec<usize>>,
    }

    impl RowAdapters for Marks<'_> {
        fn add(&self, _: usize, site: Site, x: &Tensor, out: Tensor) -> Tensor {
            assert_eq!(x.size()[0] as usize, self.rows.len());
            if site != Site::Head {
                return out;
            }
            self.met.borrow_mut().push(self.rows.len());
            let vocabulary = out.size()[1];
            let own: Vec<i64> = self.rows.clone().map(|row| row as i64 % vocabulary).collect();
            let marks = Tensor::from_slice(&own).one_hot(vocabulary);
            out + marks.to_kind(Kind::Float)
        }
    }

    #[test]
    fn logits_of_adapted_rows_come_in_parts_with_adapters_of_their_own() {
        let (config, seed) = random::parse("random:llama").unwrap();
        let source = random::RandomSource::new(&config, seed);
        let decoder = Decoder::load(&config, &source, Placement::EXACT).unwrap();
        let ids: Vec<u32> = (0..600).map(|i| i * 7 % 320).collect();
        let met = RefCell::new(vec![]);
        let adapters = |rows| Box::new(Marks { rows, met: &met }) as Box<dyn RowAdapters + '_>;
        let scores = decoder.score(&ids, Some(&adapters)).unwrap();
        assert_eq!(*met.borrow(), [256, 256, 88]);

        let wide: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let (rows, positions) = (Tensor::from_slice(&wide), Tensor::arange(600, (Kind::Int64, tch::Device::Cpu)));
        let rows = Rows { ids: &rows, positions: &positions };
        let hidden = decoder.hidden(rows, &mut CausalAttend, None).unwrap();
        let logits = Marks { rows: 0..600, met: &met }.add(2, Site::Head, &hidden, decoder.logits(&hidden, None));
        let logprobs = logits.log_softmax(-1, Kind::Float);
        for (row, score) in scores.iter().enumerate() {
            let want = logprobs.double_value(&[row as i64, wide[row + 1]]);
            assert!((f64::from(*score) - want).abs() < 1e-4, "{row}: {score} {want}");
        }
    }
}
