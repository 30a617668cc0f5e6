//! From settings to advantages: the estimator that was chosen, on the chain that was chosen, normalised as chosen.

use super::{Algorithm, Compat, Estimator, Level, Linkage, PresetError};
use crate::Result;
use crate::advantage::at_grpo::{AtGrpoConfig, at_grpo};
use crate::advantage::dr_grpo::{DrGrpoConfig, dr_grpo};
use crate::advantage::dr_mas::{DrMasConfig, dr_mas};
use crate::advantage::gae::gae;
use crate::advantage::gigpo::{GigpoConfig, gigpo};
use crate::advantage::group::{LoneGroups, episode_groups};
use crate::advantage::grpo::{GrpoConfig, grpo};
use crate::advantage::joint::joint;
use crate::advantage::magrpo::{MagrpoConfig, magrpo};
use crate::advantage::monte_carlo::{MonteCarloConfig, monte_carlo};
use crate::advantage::normalise::{NormaliseConfig, Scope, normalise, normalise_nonzero};
use crate::advantage::rae::{Rae, RaeConfig, RaeSample};
use crate::advantage::reinforce_pp::{ReinforcePpConfig, reinforce_pp};
use crate::advantage::rloo::{RlooConfig, rloo};
use crate::trajectory::{Chain, Real};

/// What an update needs to know of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate<F = f32> {
    /// One advantage per element; 0 outside the loss.
    pub advantage: Vec<F>,
    /// Targets of the critic, one per element; `None` without a critic.
    pub returns: Option<Vec<F>>,
    /// Share of the groups whose members all earned the same, in \[0, 1\]; `None` where nothing is compared. At 1 nothing
    /// is left to learn from.
    pub uniform_groups: Option<f64>,
}

impl Algorithm {
    /// The elements that count as actions: the tokens, or one element per turn.
    ///
    /// [`estimate`](Self::estimate) and the losses work on the chain that this returns.
    pub fn elements<F: Real>(&self, tokens: Chain<F>) -> Chain<F> {
        match self.level {
            Level::Token => tokens,
            Level::Action => tokens.actions(),
        }
    }

    /// The running baselines of `rae`, without history; `None` for other estimators.
    pub fn rae(&self) -> Result<Option<Rae>> {
        if self.estimator == Estimator::Rae {
            let (initial, update_first) = (self.rae_initial, self.rae_update_first);
            Ok(Some(Rae::new(RaeConfig { decay: self.rae_decay, initial, update_first })?))
        } else {
            Ok(None)
        }
    }

    /// Advantages of `chain`.
    ///
    /// `anchors` has one hash per turn, of the state in which it was taken (`gigpo`); `baselines` is the state of `rae`,
    /// where each role counts with the sum of the rewards of its turns in an episode, and all tasks share a baseline. Refuses what the chosen
    /// estimator refuses, and a missing anchor list or baseline. With the compat of MARFT's first release nothing is
    /// normalised yet: see [`in_mini_batch`](Self::in_mini_batch).
    pub fn estimate<F: Real>(
        &self,
        chain: &Chain<F>,
        anchors: Option<&[u64]>,
        baselines: Option<&mut Rae>,
    ) -> Result<Estimate<F>> {
        let raw = match self.chain {
            Linkage::Team => self.on(chain, anchors, baselines)?,
            Linkage::Agent => {
                let own = chain.per_agent();
                if anchors.is_some() {
                    let what =
                        "anchors in the order of the turns: use chain = \"team\"; its groups already are per agent";
                    return Err(PresetError::Missing { estimator: "gigpo", what }.into());
                }
                let estimate = self.on(&own.chain, None, baselines)?;
                let returns = estimate.returns.map(|returns| own.restore(&returns)).transpose()?;
                Estimate { advantage: own.restore(&estimate.advantage)?, returns, ..estimate }
            }
        };
        Ok(Estimate { advantage: self.normalised(chain, raw.advantage)?, ..raw })
    }

    fn normalised<F: Real>(&self, chain: &Chain<F>, advantage: Vec<F>) -> Result<Vec<F>> {
        let none = (self.normalise_mean, self.normalise_scale) == (Scope::None, Scope::None);
        if none || self.compat == Compat::MarftV1 {
            return Ok(advantage);
        }
        let config = NormaliseConfig {
            mean: self.normalise_mean,
            scale: self.normalise_scale,
            std: self.normalise_std,
            ..NormaliseConfig::default()
        };
        normalise(chain, &advantage, &config)
    }

    /// The advantages of one mini-batch, all agents and tokens together: as they are, and normalised once more for every
    /// mini-batch by [`normalise_nonzero`] with the compat of MARFT's first release.
    pub fn in_mini_batch<F: Real>(&self, advantage: Vec<F>) -> Vec<F> {
        match self.compat {
            Compat::None => advantage,
            Compat::MarftV1 => {
                let wide: Vec<f64> = advantage.iter().map(|a| a.wide()).collect();
                normalise_nonzero(&wide).into_iter().map(F::narrow).collect()
            }
        }
    }

    fn on<F: Real>(
        &self,
        chain: &Chain<F>,
        anchors: Option<&[u64]>,
        baselines: Option<&mut Rae>,
    ) -> Result<Estimate<F>> {
        let (std, eps, gamma) = (self.std, self.std_eps, self.gamma_step);
        let plain = |advantage| Estimate { advantage, returns: None, uniform_groups: None };
        let by_turn = |(advantage, groups): (Vec<F>, crate::advantage::group::GroupAdvantages)| Estimate {
            advantage,
            returns: None,
            uniform_groups: Some(groups.uniform_share()),
        };
        let by_episode = |groups: crate::advantage::group::GroupAdvantages| {
            Ok(by_turn((chain.spread_episodes(&groups.advantage)?, groups)))
        };
        let episodes = || (chain.episode_returns(), episode_groups(chain));
        let with_critic = |gae: crate::advantage::gae::Gae<F>| Estimate {
            advantage: gae.advantage,
            returns: Some(gae.returns),
            uniform_groups: None,
        };
        match self.estimator {
            Estimator::Gae => gae(chain, &self.gae()).map(with_critic),
            Estimator::Joint => joint(chain, &self.gae()).map(with_critic),
            Estimator::MonteCarlo => {
                Ok(plain(monte_carlo(chain, &MonteCarloConfig { gamma: self.gamma() })?.advantage))
            }
            Estimator::Grpo => {
                let (rewards, groups) = episodes();
                let lone_groups = LoneGroups::Refuse;
                by_episode(grpo(&rewards, &groups, &GrpoConfig { std, scale_over: self.scale_over, eps, lone_groups })?)
            }
            Estimator::DrGrpo => {
                let (rewards, groups) = episodes();
                by_episode(dr_grpo(&rewards, &groups, &DrGrpoConfig::default())?)
            }
            Estimator::Rloo => {
                let (rewards, groups) = episodes();
                by_episode(rloo(&rewards, &groups, &RlooConfig { clip: self.reward_clip, ..RlooConfig::default() })?)
            }
            Estimator::ReinforcePp | Estimator::ReinforcePpBaseline => {
                let baseline = self.estimator == Estimator::ReinforcePpBaseline;
                let config = ReinforcePpConfig { gamma: self.gamma(), baseline, ..ReinforcePpConfig::default() };
                reinforce_pp(chain, &config).map(plain)
            }
            Estimator::DrMas => dr_mas(chain, &DrMasConfig { std, eps }).map(by_turn),
            Estimator::AtGrpo => {
                at_grpo(chain, &AtGrpoConfig { std, eps, returns: self.turn_returns, gamma }).map(by_turn)
            }
            Estimator::Magrpo => magrpo(chain, &MagrpoConfig { gamma, std, eps }).map(by_turn),
            Estimator::Gigpo => {
                let what = "one anchor per turn: the hash of the state in which it was taken";
                let anchors = anchors.ok_or(PresetError::Missing { estimator: "gigpo", what })?;
                let tasks =
                    crate::advantage::group::dense(episode_groups(chain)).into_iter().max().map_or(0, |g| g + 1);
                let got = gigpo(chain, anchors, &GigpoConfig { gamma, step_weight: self.step_weight, std, eps })?;
                let uniform_groups = Some(got.uniform.len() as f64 / f64::from(tasks.max(1)));
                Ok(Estimate { advantage: got.advantage, returns: None, uniform_groups })
            }
            Estimator::Rae => {
                let what = "the running baselines, kept in the checkpoint";
                let rae = baselines.ok_or(PresetError::Missing { estimator: "rae", what })?;
                chain.spread_turns(&role_advantages(chain, rae)?).map(plain)
            }
        }
    }
}

/// One sample per role and episode, in the order of the episodes and of the roles' first turns.
fn role_advantages<F: Real>(chain: &Chain<F>, rae: &mut Rae) -> Result<Vec<f64>> {
    let rewards = chain.turn_returns();
    let mut samples = Vec::new();
    let mut sample_of_turn = Vec::with_capacity(chain.turns().len());
    for episode in chain.episodes() {
        let first = samples.len();
        for turn in episode {
            let role = chain.turns()[turn].ids.role;
            let known = samples[first..].iter().position(|sample: &RaeSample| sample.role == role);
            let sample = known.map_or(samples.len(), |at| first + at);
            if sample == samples.len() {
                samples.push(RaeSample { family: 0, role, reward: 0.0 });
            }
            samples[sample].reward += rewards[turn];
            sample_of_turn.push(sample);
        }
    }
    let advantages = rae.advantages(&samples)?;
    Ok(sample_of_turn.into_iter().map(|sample| advantages[sample]).collect())
}
