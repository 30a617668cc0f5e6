//! Sums of turn rewards along an episode, for the estimators that work on turns instead of tokens.

use crate::trajectory::{Boundary, Chain, Real};

/// The rewards of each turn and of all later turns of its episode, discounted by `gamma` at every step border and by
/// nothing between agents of one step.
pub(super) fn returns_to_go<F: Real>(chain: &Chain<F>, gamma: f64) -> Vec<f64> {
    let mut returns = chain.turn_returns();
    for turn in (0..returns.len()).rev() {
        match chain.boundary()[chain.turns()[turn].range.end - 1] {
            border if border.closes() => {}
            Boundary::Step => returns[turn] += gamma * returns[turn + 1],
            _ => returns[turn] += returns[turn + 1],
        }
    }
    returns
}

/// The same, but all turns of one step get the return from the start of that step: the joint view.
pub(super) fn joint_returns<F: Real>(chain: &Chain<F>, gamma: f64) -> Vec<f64> {
    let mut returns = returns_to_go(chain, gamma);
    for turn in 1..returns.len() {
        if chain.boundary()[chain.turns()[turn - 1].range.end - 1] == Boundary::Agent {
            returns[turn] = returns[turn - 1];
        }
    }
    returns
}
