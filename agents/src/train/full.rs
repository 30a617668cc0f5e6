//! The base's own weights while they learn.

use tch::{Kind, Tensor};

use super::error::TrainError;
use super::optimizer::gradient;

/// Leaves inside the decoder, and what they have collected.
///
/// A leaf adds up its gradients in its own type, where in bf16 a pass that adds less than half of the last of eight bits adds
/// nothing. So after every pass the gradients of narrow leaves are moved into sums in f32.
#[derive(Debug)]
pub(crate) struct FullWeights {
    leaves: Vec<Tensor>,
    /// By leaf; `None` before the first pass since an update, and where the leaf is f32 itself.
    sums: Vec<Option<Tensor>>,
}

impl FullWeights {
    pub(crate) fn new(leaves: Vec<Tensor>) -> Self {
        Self { sums: leaves.iter().map(|_| None).collect(), leaves }
    }

    pub(crate) fn leaves(&self) -> &[Tensor] {
        &self.leaves
    }

    /// Moves what a pass has left in narrow leaves into the sums.
    pub(crate) fn gather(&mut self) -> Result<(), TrainError> {
        for (leaf, sum) in self.leaves.iter().zip(&mut self.sums).filter(|(leaf, _)| leaf.kind() != Kind::Float) {
            let Some(fresh) = gradient(leaf).map(|gradient| gradient.to_kind(Kind::Float)) else { continue };
            match sum {
                Some(sum) => {
                    let _ = sum.f_add_(&fresh).map_err(|error| TrainError::torch("adding up gradients", &error))?;
                }
                None => *sum = Some(fresh),
            }
            // one leaf at a time: both copies of all gradients never stand side by side
            marft_torch::clear_gradients(std::slice::from_ref(leaf))?;
        }
        Ok(())
    }

    /// What has been collected since the last update, in f32, by leaf.
    pub(crate) fn gradients(&self) -> Vec<Option<Tensor>> {
        let of = |(leaf, sum): (&Tensor, &Option<Tensor>)| match sum {
            Some(sum) => Some(sum.shallow_clone()),
            None => gradient(leaf).map(|gradient| gradient.to_kind(Kind::Float)),
        };
        self.leaves.iter().zip(&self.sums).map(of).collect()
    }

    /// Drops what has been collected.
    pub(crate) fn clear(&mut self) -> Result<(), TrainError> {
        self.sums.fill_with(|| None);
        Ok(marft_torch::clear_gradients(&self.leaves)?)
    }
}
