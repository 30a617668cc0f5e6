//! Generalised advantage estimation along the flattened chain of steps, agents and tokens.
//!
//! # What it is
//!
//! The default estimator with a critic. One reverse scan over the [`Chain`] blends temporal-difference errors over
//! all horizons, with a discount and a lambda of its own for each kind of border: between tokens, between agents of a
//! step, between steps. The action level is the same scan over one element per action ([`Chain::actions`]).
//!
//! # Objective
//!
//! For element k and the next element k' that is in the loss, with b the strongest border between them:
//!
//! ```text
//! delta_k = r_k + gamma_b V_k' - V_k
//! A_k     = delta_k + gamma_b lambda_b A_k'
//! Ret_k   = A_k + V_k
//! ```
//!
//! Nothing follows an end (V' = A' = 0). A truncation is followed by its bootstrap value, discounted like a step
//! (V' = bootstrap, A' = 0). Elements outside the loss are skipped: V' and A' pass through them, and a reward found on
//! one counts for the element before it.
//!
//! # When to use it, when not
//!
//! With a critic, and whenever rewards fall inside an episode: it is the only estimator here that turns dense rewards
//! into credit per token. With gamma_token = 1 the length of an answer does not eat the credit of its first tokens; a
//! flat 0.99 over 1,024 tokens leaves 3e-5. Without a critic use [`grpo`](super::grpo), [`rloo`](super::rloo) or
//! [`monte_carlo`](super::monte_carlo).
//!
//! # Shapes, units, errors
//!
//! One advantage and one return per element of the chain, in units of reward; 0 outside the loss. Sums run in f64.
//! Refuses a chain without values, a discount or lambda outside \[0, 1\], and any number that is not finite.
//!
//! # References
//!
//! Schulman et al. 2015, arXiv 1506.02438; the borders follow Liao et al. 2025 (MARFT), arXiv 2504.16129, and Wen et
//! al. 2024 (POAD), arXiv 2405.15821.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::gae::{GaeConfig, PerBorder, gae};
//! use marft_algorithms::trajectory::{Chain, Close, EpisodeRecord, TurnRecord};
//! let turn = TurnRecord { logp: vec![-0.1; 2], in_loss: vec![true; 2], reward: 1.0, ..TurnRecord::default() };
//! let mut chain = Chain::<f64>::from_episodes([EpisodeRecord { turns: vec![turn], close: Close::End }])?;
//! chain.set_values(vec![0.5, 0.75])?;
//! let config = GaeConfig { lambda: PerBorder::flat(1.0), ..GaeConfig::default() };
//! assert_eq!(gae(&chain, &config)?.advantage, [0.5, 0.25]);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use marft_torch::memory::defaults;
use serde::{Deserialize, Serialize};

use super::group::{check_finite, check_setting};
use crate::Result;
use crate::trajectory::{Boundary, Chain, Real};

/// One number for each kind of border inside an episode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerBorder {
    /// Between two tokens of one action.
    pub token: f64,
    /// Between two agents of one step.
    pub agent: f64,
    /// Between two environment steps, and at a truncation.
    pub step: f64,
}

impl PerBorder {
    /// The same number everywhere.
    pub const fn flat(number: f64) -> Self {
        Self { token: number, agent: number, step: number }
    }

    fn check(self, name: &'static str) -> Result<()> {
        [self.token, self.agent, self.step].into_iter().try_for_each(|number| {
            check_setting(name, number, 0.0..=1.0, "[0, 1]", "1 keeps all credit, 0 looks one border ahead only")
        })
    }
}

/// Settings of [`gae`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GaeConfig {
    /// Discounts. Default 1 at every border.
    pub gamma: PerBorder,
    /// Lambdas. Default 0.95 at every border.
    pub lambda: PerBorder,
    /// Reproduce a defect of MARFT's first release: in the first step after an end, agents get no credit from the
    /// agents that follow them. Default false.
    pub cut_after_reset: bool,
}

impl Default for GaeConfig {
    fn default() -> Self {
        Self { gamma: PerBorder::flat(1.0), lambda: PerBorder::flat(0.95), cut_after_reset: false }
    }
}

/// What [`gae`] returns: one number per element, 0 outside the loss.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Gae<F = f32> {
    /// Advantages, in units of reward.
    pub advantage: Vec<F>,
    /// Targets of the critic: advantage plus value.
    pub returns: Vec<F>,
}

/// Advantages and returns of `chain` by one reverse scan. See the [module documentation](self).
pub fn gae<F: Real>(chain: &Chain<F>, config: &GaeConfig) -> Result<Gae<F>> {
    let mut out = Gae::default();
    gae_into(chain, config, &mut out)?;
    Ok(out)
}

/// The same into the buffers of an earlier batch of the same length, which saves the system handing over fresh memory.
///
/// After a refusal the contents of `out` mean nothing.
pub fn gae_into<F: Real>(chain: &Chain<F>, config: &GaeConfig, out: &mut Gae<F>) -> Result<()> {
    chain.need_values("gae")?;
    scan(chain, chain.value(), config, out)
}

/// The scan, with values given apart so that estimators without a critic can share it.
pub(super) fn scan<F: Real>(chain: &Chain<F>, value: &[F], config: &GaeConfig, out: &mut Gae<F>) -> Result<()> {
    config.gamma.check("gamma")?;
    config.lambda.check("lambda")?;
    let cut;
    let boundary = if config.cut_after_reset {
        cut = borders_cut_after_reset(chain);
        &cut
    } else {
        chain.boundary()
    };
    let (g, l) = (config.gamma, config.lambda);
    // Indexed by `Boundary as usize`. A truncation discounts the bootstrap and carries no advantage.
    let discount = [g.token, g.agent, g.step, g.step, 0.0];
    let carry = [g.token * l.token, g.agent * l.agent, g.step * l.step, 0.0, 0.0];

    let n = chain.len();
    // Every element is written below: what earlier batches left needs no clearing.
    for numbers in [&mut out.advantage, &mut out.returns] {
        if numbers.len() != n {
            *numbers = defaults(n);
        }
    }
    // Equal lengths that the compiler can see: no bounds are checked in the loop.
    let (reward, in_loss) = (&chain.reward()[..n], &chain.in_loss()[..n]);
    let (value, boundary) = (&value[..n], &boundary[..n]);
    let (advantage, returns) = (&mut out.advantage[..n], &mut out.returns[..n]);
    let mut bootstraps = chain.bootstrap().iter().rev();

    let (mut next_value, mut next_advantage) = (0.0, 0.0);
    // Of the run of skipped elements between here and the next element in the loss.
    let (mut skipped_reward, mut skipped_border) = (0.0, Boundary::Token);
    let mut finite = true;
    for i in (0..n).rev() {
        if boundary[i].closes() {
            let truncated = boundary[i] == Boundary::Truncated;
            next_value = if truncated { bootstraps.next().map_or(0.0, |b| b.wide()) } else { 0.0 };
            next_advantage = 0.0;
            (skipped_reward, skipped_border) = (0.0, Boundary::Token);
        }
        if !in_loss[i] {
            skipped_reward += reward[i].wide();
            skipped_border = skipped_border.max(boundary[i]);
            (advantage[i], returns[i]) = (F::default(), F::default());
            continue;
        }
        let border = boundary[i].max(skipped_border) as usize;
        let v = value[i].wide();
        let delta = reward[i].wide() + skipped_reward + discount[border] * next_value - v;
        let a = delta + carry[border] * next_advantage;
        (advantage[i], returns[i]) = (F::narrow(a), F::narrow(a + v));
        finite &= advantage[i].wide().is_finite() & returns[i].wide().is_finite();
        (next_value, next_advantage) = (v, a);
        (skipped_reward, skipped_border) = (0.0, Boundary::Token);
    }
    if !finite {
        chain.check_finite()?;
        let wide = |numbers: &[F]| numbers.iter().map(|x| x.wide()).collect::<Vec<_>>();
        check_finite("advantage", &wide(advantage))?;
        check_finite("return", &wide(returns))?;
    }
    Ok(())
}

fn borders_cut_after_reset<F: Real>(chain: &Chain<F>) -> Vec<Boundary> {
    let mut boundary = chain.boundary().to_vec();
    for episode in chain.episodes().skip(1) {
        let turns = &chain.turns()[episode];
        let first = turns[0].ids.step;
        for turn in turns.iter().take_while(|turn| turn.ids.step == first) {
            let border = &mut boundary[turn.range.end - 1];
            if *border == Boundary::Agent {
                *border = Boundary::End;
            }
        }
    }
    boundary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trajectory::{Close, EpisodeRecord, TurnIds, TurnRecord};

    /// A trajectory of several turns: two turns of three tokens, two observation tokens between them.
    ///
    /// r = [0,0,.5,0,0,0,0,1], mask = [1,1,1,0,0,1,1,1], V = [.1,.2,.3,9,9,.4,.5,.6].
    fn two_turns() -> Chain<f64> {
        let turn = |step, in_loss: &[bool], reward| TurnRecord {
            ids: TurnIds { step, ..TurnIds::default() },
            logp: vec![-0.5; in_loss.len()],
            in_loss: in_loss.to_vec(),
            reward,
        };
        let turns = vec![turn(0, &[true; 3], 0.5), turn(1, &[false, false, true, true, true], 1.0)];
        let mut chain = Chain::from_episodes([EpisodeRecord { turns, close: Close::End }]).unwrap();
        chain.set_values(vec![0.1, 0.2, 0.3, 9.0, 9.0, 0.4, 0.5, 0.6]).unwrap();
        chain
    }

    fn near(got: &[f64], want: &[f64], tolerance: f64) {
        assert_eq!(got.len(), want.len());
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            assert!((g - w).abs() <= tolerance, "at {i}: {g} instead of {w}");
        }
    }

    #[test]
    fn values_of_observations_do_not_leak() {
        // A_i = sum_l (gamma lambda)^l delta_{i+l} over agent tokens alone, by hand.
        let flat = |gamma, lambda| GaeConfig {
            gamma: PerBorder::flat(gamma),
            lambda: PerBorder::flat(lambda),
            ..GaeConfig::default()
        };
        let a = gae(&two_turns(), &flat(1.0, 1.0)).unwrap().advantage;
        near(&a, &[1.4, 1.3, 1.2, 0.0, 0.0, 0.6, 0.5, 0.4], 1e-12);
        let a = gae(&two_turns(), &flat(0.9, 0.95)).unwrap().advantage;
        near(&a, &[0.784_615, 0.824_111, 0.882_002, 0.0, 0.0, 0.37661, 0.382, 0.4], 5e-7);
    }

    #[test]
    fn a_reward_on_a_skipped_element_counts_for_the_element_before_it() {
        let mut chain = two_turns();
        let config = GaeConfig { lambda: PerBorder::flat(1.0), ..GaeConfig::default() };
        let before = gae(&chain, &config).unwrap().advantage;
        let mut reward = chain.reward().to_vec();
        reward.swap(2, 4);
        chain.set_rewards(reward).unwrap();
        assert_eq!(gae(&chain, &config).unwrap().advantage, before);
    }

    #[test]
    fn a_skipped_end_still_cuts_the_chain() {
        let turn =
            |reward| TurnRecord { logp: vec![-1.0, 0.0], in_loss: vec![true, false], reward, ..TurnRecord::default() };
        let episode = |reward, close| EpisodeRecord { turns: vec![turn(reward)], close };
        let close = Close::Truncated { bootstrap: 4.0 };
        let mut chain = Chain::from_episodes([episode(1.0, close), episode(2.0, Close::End)]).unwrap();
        chain.set_values(vec![0.0; 4]).unwrap();
        let config = GaeConfig { gamma: PerBorder { step: 0.5, ..PerBorder::flat(1.0) }, ..GaeConfig::default() };
        // 1 + 0.5 * 4 from the bootstrap; the next episode must not reach back.
        assert_eq!(gae(&chain, &config).unwrap().advantage, [3.0, 0.0, 2.0, 0.0]);
    }

    /// One turn of `tokens` tokens, V = 0; what the first gets of a reward of 1 on the last, or on each of them.
    fn credit_of_the_first(tokens: usize, gamma: f64, lambda: f64, each: bool) -> f64 {
        let turn =
            TurnRecord { logp: vec![-0.5; tokens], in_loss: vec![true; tokens], reward: 1.0, ..TurnRecord::default() };
        let mut chain = Chain::<f64>::from_episodes([EpisodeRecord { turns: vec![turn], close: Close::End }]).unwrap();
        chain.set_values(vec![0.0; tokens]).unwrap();
        if each {
            chain.set_rewards(vec![1.0; tokens]).unwrap();
        }
        let (gamma, lambda) = (PerBorder::flat(gamma), PerBorder::flat(lambda));
        gae(&chain, &GaeConfig { gamma, lambda, cut_after_reset: false }).unwrap().advantage[0]
    }

    /// python3 -c "print(.99 ** 1024, 1 / (1 - .99 * .95))"
    #[test]
    fn a_flat_discount_eats_the_credit_of_long_answers() {
        near(&[credit_of_the_first(1025, 0.99, 1.0, false)], &[3.391_870_540_193_412_6e-5], 1e-15);
        // The horizon of the first release's defaults: 16.8 tokens.
        near(&[credit_of_the_first(1025, 0.99, 0.95, true)], &[16.806_722_689_075_63], 1e-9);
        assert_eq!(credit_of_the_first(1025, 1.0, 1.0, false), 1.0);
    }

    #[test]
    fn what_an_earlier_batch_left_in_the_buffers_does_not_show() {
        let want = gae(&two_turns(), &GaeConfig::default()).unwrap();
        for length in [0, 3, want.advantage.len(), 100] {
            let mut out = Gae { advantage: vec![7.0; length], returns: vec![f64::NAN; length] };
            gae_into(&two_turns(), &GaeConfig::default(), &mut out).unwrap();
            assert_eq!(out, want, "after a batch of {length}");
        }
    }

    #[test]
    fn no_values_no_advantage() {
        let turn = TurnRecord { logp: vec![0.0_f32], in_loss: vec![true], ..TurnRecord::default() };
        let chain = Chain::from_episodes([EpisodeRecord { turns: vec![turn], close: Close::End }]).unwrap();
        let refused = gae(&chain, &GaeConfig::default()).unwrap_err().to_string();
        assert!(refused.contains("set_values"), "{refused}");
    }

    #[test]
    fn a_nan_value_is_refused_by_name_and_place_and_ignored_where_it_is_skipped() {
        let mut chain = two_turns();
        let mut value = chain.value().to_vec();
        value[3] = f64::NAN;
        chain.set_values(value.clone()).unwrap();
        assert!(gae(&chain, &GaeConfig::default()).is_ok());
        value[5] = f64::NAN;
        chain.set_values(value).unwrap();
        let refused = gae(&chain, &GaeConfig::default()).unwrap_err().to_string();
        assert!(refused.starts_with("value is NaN at element 5"), "{refused}");
    }

    #[test]
    fn a_discount_above_one_is_refused() {
        let config = GaeConfig { gamma: PerBorder::flat(1.01), ..GaeConfig::default() };
        assert!(gae(&two_turns(), &config).is_err());
    }
}
