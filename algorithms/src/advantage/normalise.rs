//! Normalisation: centre and scale advantages over a chosen set of elements.
//!
//! # What it is
//!
//! Subtracts a mean and divides by a deviation, each taken over its own [`Scope`], over the elements in the loss alone.
//! Also on tensors ([`whiten`]), and in the form of MARFT's first release ([`normalise_nonzero`]).
//!
//! # Objective
//!
//! ```text
//! c = A - mean_scope A           A' = c / (std_scope c + eps)
//! ```
//!
//! # When to use it, when not
//!
//! With a critic over the batch (PPO's whitening); per agent where agents earn on different scales; mean per group and
//! deviation per batch where tasks differ in difficulty. Centring within a single sequence is refused: at gamma =
//! lambda = 1 the advantage is R - V_t, and its mean over t takes R away.
//!
//! # Shapes, units, errors
//!
//! One advantage per element of the chain; elements outside the loss stay 0 and do not enter the statistics. The result
//! is dimensionless where it is scaled. Refuses unequal lengths, a group scope with groups of one episode, and numbers
//! that are not finite.
//!
//! # References
//!
//! Andrychowicz et al. 2020 (What matters in on-policy RL), arXiv 2006.05990. verl whitens with the unbiased variance,
//! MARFT's first release with the population's.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::normalise::{NormaliseConfig, normalise};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnRecord};
//! let turn = TurnRecord { logp: vec![-0.1; 2], in_loss: vec![true; 2], ..TurnRecord::default() };
//! let chain = Chain::<f64>::from_episodes([EpisodeRecord { turns: vec![turn], close: Close::End }])?;
//! let a = normalise(&chain, &[3.0, 1.0], &NormaliseConfig { eps: 0.0, ..NormaliseConfig::default() })?;
//! assert_eq!(a, [1.0, -1.0]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::AdvantageError;
use super::group::{Std, check_finite};
use crate::Result;
use crate::trajectory::{Chain, Real, TurnIds};

/// A set of elements that share a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// No statistic: do not centre, or do not scale.
    None,
    /// All elements of the batch.
    #[default]
    Batch,
    /// The elements of one agent.
    Agent,
    /// The elements of one policy.
    Policy,
    /// The elements of one role.
    Role,
    /// The episodes of one task.
    Group,
}

impl Scope {
    fn of(self, ids: &TurnIds) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Batch => Some(0),
            Self::Agent => Some(ids.agent),
            Self::Policy => Some(ids.policy),
            Self::Role => Some(ids.role),
            Self::Group => Some(ids.group),
        }
    }
}

/// Settings of [`normalise`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormaliseConfig {
    /// Scope of the mean. Default the batch.
    pub mean: Scope,
    /// Scope of the deviation. Default the batch.
    pub scale: Scope,
    /// Which deviation. Default biased (the population's).
    pub std: Std,
    /// Added to the deviation. Default 1e-8.
    pub eps: f64,
}

impl Default for NormaliseConfig {
    fn default() -> Self {
        Self { mean: Scope::Batch, scale: Scope::Batch, std: Std::Biased, eps: 1e-8 }
    }
}

/// Normalised advantages. See the [module documentation](self).
pub fn normalise<F: Real>(chain: &Chain<F>, advantage: &[F], config: &NormaliseConfig) -> Result<Vec<F>> {
    let mut wide: Vec<f64> = advantage.iter().map(|a| a.wide()).collect();
    chain.check_len("advantage", wide.len())?;
    if config.mean == Scope::Group {
        refuse_lone_sequences(chain)?;
    }
    for members in scope_members(chain, config.mean) {
        let mean = members.iter().map(|&i| wide[i]).sum::<f64>() / members.len() as f64;
        for i in members {
            wide[i] -= mean;
        }
    }
    if config.std != Std::None {
        for members in scope_members(chain, config.scale) {
            let mean = members.iter().map(|&i| wide[i]).sum::<f64>() / members.len() as f64;
            let scale = config.std.of(members.iter().map(|&i| wide[i] - mean)) + config.eps;
            for i in members {
                wide[i] /= scale;
            }
        }
    }
    let normalised: Vec<f64> =
        wide.iter().zip(chain.in_loss()).map(|(&a, &trained)| if trained { a } else { 0.0 }).collect();
    check_finite("normalised advantage", &normalised)?;
    Ok(normalised.into_iter().map(F::narrow).collect())
}

fn scope_members<F: Real>(chain: &Chain<F>, scope: Scope) -> impl Iterator<Item = Vec<usize>> {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for turn in chain.turns() {
        if let Some(id) = scope.of(&turn.ids) {
            members.entry(id).or_default().extend(turn.range.clone().filter(|&i| chain.in_loss()[i]));
        }
    }
    members.into_values().filter(|elements| !elements.is_empty())
}

fn refuse_lone_sequences<F: Real>(chain: &Chain<F>) -> Result<()> {
    let mut episodes: BTreeMap<u32, usize> = BTreeMap::new();
    for episode in chain.episodes() {
        *episodes.entry(chain.turns()[episode.start].ids.group).or_default() += 1;
    }
    match episodes.into_iter().find(|&(_, count)| count == 1) {
        Some((id, _)) => Err(AdvantageError::LoneSequence { scope: "group", id }.into()),
        None => Ok(()),
    }
}

/// Whitens a tensor over `mask`, in its own float kind: an integer mask cannot make an integer advantage.
///
/// `advantage` and `mask` have one shape; `advantage` is a float tensor, `mask` any kind, non-zero = counted. Positions
/// outside the mask become 0. The result has the kind and the device of `advantage`. A mask that counts nothing is
/// refused, and so is a result that is not finite.
pub fn whiten(advantage: &Tensor, mask: &Tensor, std: Std, eps: f64) -> Result<Tensor> {
    if advantage.size() != mask.size() {
        let (got, want) = (mask.numel(), advantage.numel());
        return Err(AdvantageError::Length { what: "mask", got, want }.into());
    }
    let keep = mask.not_equal(0);
    let count = keep.sum(Kind::Int64).int64_value(&[]);
    if count == 0 {
        return Err(AdvantageError::Empty { estimator: "whiten" }.into());
    }
    let kept = advantage.where_scalarother(&keep, 0.0);
    let centred = (&kept - kept.sum(kept.kind()) / count as f64).where_scalarother(&keep, 0.0);
    let scale = match std {
        Std::None => None,
        Std::Biased => Some(count),
        Std::Unbiased => Some((count - 1).max(1)),
    }
    .map(|degrees| (centred.square().sum(centred.kind()) / degrees as f64).sqrt() + eps);
    let whitened = match scale {
        Some(scale) => centred / scale,
        None => centred,
    };
    if whitened.isfinite().all().int64_value(&[]) == 0 {
        let bad = f64::NAN;
        return Err(AdvantageError::NotFinite { what: "whitened advantage", index: 0, value: bad }.into());
    }
    Ok(whitened)
}

/// Normalises as MARFT's first release did: statistics over the entries that are not exactly 0, applied to all of them.
///
/// A genuine advantage of 0 is taken for a missing one, and padding is shifted. Only for comparison with that program;
/// use [`normalise`]. Without any non-zero entry the advantages come back unchanged.
pub fn normalise_nonzero(advantage: &[f64]) -> Vec<f64> {
    let counted: Vec<f64> = advantage.iter().copied().filter(|&a| a != 0.0).collect();
    if counted.is_empty() {
        return advantage.to_vec();
    }
    let mean = super::group::mean(&counted);
    let std = Std::Biased.of(counted.iter().map(|a| a - mean));
    advantage.iter().map(|a| (a - mean) / (std + 1e-8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnRecord};

    /// Two episodes of one turn each, two tokens, agents 0 and 1, groups as given.
    fn two_episodes(groups: [u32; 2]) -> Chain<f64> {
        let episode = |agent: u32| {
            let ids = TurnIds { episode: agent, agent, group: groups[agent as usize], ..TurnIds::default() };
            let turn = TurnRecord { ids, logp: vec![-0.1; 2], in_loss: vec![true; 2], reward: 0.0 };
            EpisodeRecord { turns: vec![turn], close: Close::End }
        };
        Chain::from_episodes([episode(0), episode(1)]).unwrap()
    }

    #[test]
    fn each_agent_on_its_own_scale() {
        let config =
            NormaliseConfig { mean: Scope::Agent, scale: Scope::Agent, eps: 0.0, ..NormaliseConfig::default() };
        let got = normalise(&two_episodes([0, 0]), &[1.0, 3.0, 100.0, 300.0], &config).unwrap();
        assert_eq!(got, [-1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn centring_a_group_of_one_is_refused() {
        let config = NormaliseConfig { mean: Scope::Group, ..NormaliseConfig::default() };
        let refused = normalise(&two_episodes([0, 1]), &[0.0; 4], &config).unwrap_err().to_string();
        assert!(refused.contains("single sequence"), "{refused}");
        assert!(normalise(&two_episodes([7, 7]), &[0.0; 4], &config).is_ok());
    }

    #[test]
    fn mean_per_group_and_deviation_per_batch() {
        // Centred: [-1, 1, -1, 1]; over the batch the population deviation is 1.
        let config = NormaliseConfig { mean: Scope::Group, eps: 0.0, ..NormaliseConfig::default() };
        let got = normalise(&two_episodes([7, 7]), &[4.0, 6.0, 4.0, 6.0], &config).unwrap();
        assert_eq!(got, [-1.0, 1.0, -1.0, 1.0]);
    }

    #[test]
    fn an_integer_mask_does_not_truncate() {
        // Peers that build the buffer with the mask's kind turn 0.7 into 0 and -1.9 into -1.
        let advantage = Tensor::from_slice(&[0.7_f32, -1.9, 5.0]);
        let mask = Tensor::from_slice(&[1_i64, 1, 0]);
        let got = whiten(&advantage, &mask, Std::None, 0.0).unwrap();
        assert_eq!(got.kind(), Kind::Float);
        let got = Vec::<f32>::try_from(&got).unwrap();
        assert!((got[0] - 1.3).abs() < 1e-6 && (got[1] + 1.3).abs() < 1e-6 && got[2] == 0.0, "{got:?}");
    }

    #[test]
    fn a_nan_outside_the_mask_is_harmless_and_inside_is_refused() {
        let advantage = Tensor::from_slice(&[f32::NAN, 1.0, 3.0]);
        let inside = whiten(&advantage, &Tensor::from_slice(&[true, true, true]), Std::Biased, 1e-8);
        assert!(inside.is_err());
        let outside = whiten(&advantage, &Tensor::from_slice(&[false, true, true]), Std::Biased, 1e-8).unwrap();
        assert_eq!(Vec::<f32>::try_from(&outside).unwrap(), [0.0, -1.0, 1.0]);
        assert!(whiten(&advantage, &Tensor::from_slice(&[false; 3]), Std::Biased, 1e-8).is_err());
    }
}
