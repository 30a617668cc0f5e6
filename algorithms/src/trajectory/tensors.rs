//! From the chain to the flat tensors that the losses take.

use tch::{Device, Kind, Tensor};

use super::{Chain, Real};
use crate::Result;

/// The elements in the loss, packed: nothing else reaches a device.
///
/// `n` is the number of elements in the loss. All tensors are on one device; floats are f32, ids are i64.
#[derive(Debug)]
pub struct LossRows {
    /// `[n]` Position of each row in the chain, ascending.
    pub element: Tensor,
    /// `[n]` Behaviour log-probabilities, nats.
    pub old_logp: Tensor,
    /// `[n]` Advantages. Always f32, whatever the mask was.
    pub advantage: Tensor,
    /// `[n]` Turn (sequence) of each row, 0-based and dense, non-decreasing: the segment id of sequence-level losses.
    pub segment: Tensor,
    /// `[n]` Policy that sampled each row.
    pub policy: Tensor,
    /// Number of segments; a turn with nothing in the loss has none.
    pub segments: i64,
}

impl<F: Real> Chain<F> {
    /// Packs the elements in the loss, with `advantage` given for every element of the chain.
    ///
    /// Refuses a number of advantages other than the number of elements.
    ///
    /// ```
    /// # use marft_algorithms::trajectory::*;
    /// # let turn = TurnRecord { logp: vec![-0.5, 0.0, -0.25], in_loss: vec![true, false, true], ..TurnRecord::default() };
    /// let chain: Chain = Chain::from_episodes([EpisodeRecord { turns: vec![turn], close: Close::End }])?;
    /// let rows = chain.loss_rows(&[1.0, 9.0, 2.0], tch::Device::Cpu)?;
    /// assert_eq!(Vec::<f32>::try_from(&rows.advantage).unwrap(), [1.0, 2.0]);
    /// # Ok::<(), marft_algorithms::Error>(())
    /// ```
    pub fn loss_rows(&self, advantage: &[F], device: Device) -> Result<LossRows> {
        self.check_len("advantage", advantage.len())?;
        let mut element: Vec<i64> = Vec::new();
        let mut segment: Vec<i64> = Vec::new();
        let mut policy: Vec<i64> = Vec::new();
        let mut segments = 0;
        for turn in &self.turns {
            let before = element.len();
            element.extend(turn.range.clone().filter(|&i| self.in_loss[i]).map(|i| i as i64));
            segment.resize(element.len(), segments);
            policy.resize(element.len(), i64::from(turn.ids.policy));
            segments += i64::from(element.len() > before);
        }
        let pick = |from: &[F]| {
            let picked: Vec<f32> = element.iter().map(|&i| from[i as usize].wide() as f32).collect();
            Tensor::from_slice(&picked).to_device(device)
        };
        let ids = |ids: &[i64]| Tensor::from_slice(ids).to_kind(Kind::Int64).to_device(device);
        Ok(LossRows {
            old_logp: pick(&self.logp),
            advantage: pick(advantage),
            element: ids(&element),
            segment: ids(&segment),
            policy: ids(&policy),
            segments,
        })
    }
}
