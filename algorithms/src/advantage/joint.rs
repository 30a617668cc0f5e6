//! The joint advantage: one number per step, shared by all agents of the team.
//!
//! # What it is
//!
//! The team acts as one: a step is one joint action with one reward and one value, and all its agents and tokens get the
//! same advantage. [`decompose`] goes the other way, for teams whose action values are known.
//!
//! # Objective
//!
//! ```text
//! delta_t = r_t + gamma V_{t+1} - V_t         A_t = delta_t + gamma lambda A_{t+1}
//! A(s, a_1..n) = sum_m A_m,   A_m = Q(s, a_1..m) - Q(s, a_1..m-1),   Q(s, nothing) = V(s)
//! ```
//!
//! r_t sums the rewards of the step; V_t is the value of the step's first element in the loss.
//!
//! # When to use it, when not
//!
//! A central critic that knows the state but not the order of the agents; D = 0, where no order exists. The chain of
//! [`gae`](super::gae) is the default: it tells the agents of a step apart.
//!
//! # Shapes, units, errors
//!
//! One advantage and one return per element, 0 outside the loss; returns on the first element of each step only, since
//! only that value was used. Refuses what `gae` refuses.
//!
//! # References
//!
//! Kuba et al. 2021 (HATRPO), arXiv 2109.11251, theorem 1; Wen et al. 2022 (MAT), arXiv 2205.14953.
//!
//! # Example
//!
//! ```
//! use marft_algorithms::advantage::joint::decompose;
//! // V = .66, Q(a1) = .8, Q(a1, a2) = 2: the agents contributed .14 and 1.2 of the joint 1.34.
//! let parts = decompose(0.66, &[0.8, 2.0])?;
//! assert!((parts.iter().sum::<f64>() - 1.34).abs() < 1e-12);
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

use super::gae::{Gae, GaeConfig, gae};
use super::group::{check_finite, dense};
use crate::Result;
use crate::trajectory::{Boundary, Chain, Real, Turn};

/// Joint advantages by step. Of `config` only the numbers for steps are read. See the [module documentation](self).
pub fn joint<F: Real>(chain: &Chain<F>, config: &GaeConfig) -> Result<Gae<F>> {
    chain.need_values("joint")?;
    let (steps, step_of_turn) = steps(chain);
    let of_steps = gae(&steps, config)?;
    let mut out = Gae { advantage: vec![F::default(); chain.len()], returns: vec![F::default(); chain.len()] };
    let mut valued = vec![false; steps.len()];
    for (turn, step) in chain.turns().iter().zip(step_of_turn) {
        for i in turn.range.clone().filter(|&i| chain.in_loss()[i]) {
            out.advantage[i] = of_steps.advantage[step];
            if !std::mem::replace(&mut valued[step], true) {
                out.returns[i] = of_steps.returns[step];
            }
        }
    }
    Ok(out)
}

/// One element per step, and the step of every turn.
fn steps<F: Real>(chain: &Chain<F>) -> (Chain<F>, Vec<usize>) {
    let actions = chain.actions();
    let numbers = dense(chain.turns().iter().map(|turn| (turn.ids.episode, turn.ids.step)));
    let mut steps = Chain { bootstrap: actions.bootstrap.clone(), ..Chain::default() };
    for (turn, &step) in numbers.iter().enumerate() {
        let step = step as usize;
        if step == steps.reward.len() {
            steps.reward.push(F::default());
            steps.value.push(F::default());
            steps.logp.push(F::default());
            steps.in_loss.push(false);
            steps.boundary.push(Boundary::Step);
            steps.turns.push(Turn { ids: chain.turns()[turn].ids, range: step..step + 1 });
        }
        steps.reward[step] = F::narrow(steps.reward[step].wide() + actions.reward[turn].wide());
        if actions.in_loss[turn] {
            if !steps.in_loss[step] {
                steps.value[step] = actions.value[turn];
            }
            steps.in_loss[step] = true;
            steps.logp[step] = F::narrow(steps.logp[step].wide() + actions.logp[turn].wide());
        }
        steps.boundary[step] = actions.boundary[turn];
    }
    (steps, numbers.into_iter().map(|step| step as usize).collect())
}

/// The share of each agent in the joint advantage, from the action values of the growing joint action.
///
/// `prefix_values[m]` is Q(s, a_1..a_m+1) along one joint action; `state_value` is V(s). Returns one advantage per agent;
/// they sum to Q(s, a_1..n) - V(s). Refuses numbers that are not finite.
pub fn decompose(state_value: f64, prefix_values: &[f64]) -> Result<Vec<f64>> {
    check_finite("state value", &[state_value])?;
    check_finite("action value", prefix_values)?;
    let before = std::iter::once(&state_value).chain(prefix_values);
    Ok(prefix_values.iter().zip(before).map(|(after, before)| after - before).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advantage::gae::PerBorder;
    use crate::trajectory::{Close, EpisodeRecord, TurnIds, TurnRecord};

    #[test]
    fn all_agents_of_a_step_share_the_team_advantage() {
        let turn = |step, agent, reward| TurnRecord {
            ids: TurnIds { step, agent, ..TurnIds::default() },
            logp: vec![-0.1; 2],
            in_loss: vec![true; 2],
            reward,
        };
        let turns = vec![turn(0, 0, 0.25), turn(0, 1, 0.25), turn(1, 0, 0.0), turn(1, 1, 1.0)];
        let mut chain = Chain::<f64>::from_episodes([EpisodeRecord { turns, close: Close::End }]).unwrap();
        chain.set_values(vec![0.5, 9.0, 9.0, 9.0, 0.75, 9.0, 9.0, 9.0]).unwrap();
        let config = GaeConfig { lambda: PerBorder::flat(1.0), ..GaeConfig::default() };
        // A_1 = 1 - .75; A_0 = .5 + .75 - .5 + A_1.
        let got = joint(&chain, &config).unwrap();
        assert_eq!(got.advantage, [1.0, 1.0, 1.0, 1.0, 0.25, 0.25, 0.25, 0.25]);
        assert_eq!(got.returns, [1.5, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }
}
