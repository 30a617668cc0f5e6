//! From turn records, as a rollout writes them, to a chain.

use super::{Boundary, Chain, Real, TrajectoryError, Turn, TurnIds};
use crate::Result;

/// How an episode closed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Close<F = f32> {
    /// By its own end: nothing follows.
    End,
    /// By a limit on steps, tokens or time: the rest is worth `bootstrap`, the critic's value of the state it stopped in.
    Truncated {
        /// The value of the state after the last element; 0 without a critic.
        bootstrap: F,
    },
}

/// One turn: what an agent said, token by token, observation tokens included or not.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TurnRecord<F = f32> {
    /// Identities.
    pub ids: TurnIds,
    /// Log-probability of each token under the sampler, in nats. Empty for a human or a scripted agent.
    pub logp: Vec<F>,
    /// Whether each token is in the loss.
    pub in_loss: Vec<bool>,
    /// The reward given after the last token that is in the loss.
    pub reward: F,
}

/// One episode: its turns in the order in which they were taken.
#[derive(Debug, Clone, PartialEq)]
pub struct EpisodeRecord<F = f32> {
    /// The turns.
    pub turns: Vec<TurnRecord<F>>,
    /// How it closed.
    pub close: Close<F>,
}

impl<F: Real> Chain<F> {
    /// Flattens episodes into one chain.
    ///
    /// The border after a turn is [`Boundary::Agent`] if the next turn has the same step, else [`Boundary::Step`]. A
    /// turn without tokens becomes one element outside the loss, so that its reward and its border keep their place.
    ///
    /// Refuses: an episode without turns, steps that go back, arrays of unequal length, numbers that are not finite.
    ///
    /// ```
    /// use marft_algorithms::trajectory::{Boundary, Chain, Close, EpisodeRecord, TurnIds, TurnRecord};
    /// let turn = |agent, logp: &[f32], reward| TurnRecord {
    ///     ids: TurnIds { agent, ..TurnIds::default() },
    ///     logp: logp.to_vec(),
    ///     in_loss: vec![true; logp.len()],
    ///     reward,
    /// };
    /// let turns = vec![turn(0, &[-0.1, -0.2], 0.0), turn(1, &[-0.3], 1.0)];
    /// let chain = Chain::from_episodes([EpisodeRecord { turns, close: Close::End }])?;
    /// assert_eq!(chain.boundary(), [Boundary::Token, Boundary::Agent, Boundary::End]);
    /// assert_eq!(chain.reward(), [0.0, 0.0, 1.0]);
    /// # Ok::<(), marft_algorithms::Error>(())
    /// ```
    pub fn from_episodes(episodes: impl IntoIterator<Item = EpisodeRecord<F>>) -> Result<Self> {
        let mut chain = Self::default();
        for (index, episode) in episodes.into_iter().enumerate() {
            chain.push_episode(index, &episode)?;
        }
        chain.check_finite()?;
        Ok(chain)
    }

    fn push_episode(&mut self, episode: usize, record: &EpisodeRecord<F>) -> Result<()> {
        let Some(last) = record.turns.len().checked_sub(1) else {
            return Err(TrajectoryError::EmptyEpisode { episode }.into());
        };
        for (at, turn) in record.turns.iter().enumerate() {
            let border = if at == last {
                match record.close {
                    Close::End => Boundary::End,
                    Close::Truncated { bootstrap } => {
                        self.bootstrap.push(bootstrap);
                        Boundary::Truncated
                    }
                }
            } else {
                let next = record.turns[at + 1].ids.step;
                match turn.ids.step.cmp(&next) {
                    std::cmp::Ordering::Less => Boundary::Step,
                    std::cmp::Ordering::Equal => Boundary::Agent,
                    std::cmp::Ordering::Greater => {
                        return Err(TrajectoryError::StepOrder { episode, from: turn.ids.step, to: next }.into());
                    }
                }
            };
            self.push_turn(turn, border)?;
        }
        Ok(())
    }

    fn push_turn(&mut self, turn: &TurnRecord<F>, border: Boundary) -> Result<()> {
        if turn.in_loss.len() != turn.logp.len() {
            return Err(TrajectoryError::Length {
                what: "in_loss of a turn",
                got: turn.in_loss.len(),
                want: turn.logp.len(),
            }
            .into());
        }
        let start = self.len();
        let count = turn.logp.len().max(1);
        let end = start + count;
        self.logp.extend_from_slice(&turn.logp);
        self.logp.resize(end, F::default());
        self.in_loss.extend_from_slice(&turn.in_loss);
        self.in_loss.resize(end, false);
        self.reward.resize(end, F::default());
        self.boundary.resize(end - 1, Boundary::Token);
        self.boundary.push(border);
        let rewarded = (start..end).rev().find(|&i| self.in_loss[i]).unwrap_or(end - 1);
        self.reward[rewarded] = turn.reward;
        self.turns.push(Turn { ids: turn.ids, range: start..end });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advantage::gae::{GaeConfig, PerBorder, gae};

    fn turn(step: u32, agent: u32, tokens: usize, reward: f64) -> TurnRecord<f64> {
        let ids = TurnIds { step, agent, ..TurnIds::default() };
        TurnRecord { ids, logp: vec![-0.5; tokens], in_loss: vec![true; tokens], reward }
    }

    fn chain(turns: Vec<TurnRecord<f64>>, close: Close<f64>) -> Result<Chain<f64>> {
        Chain::from_episodes([EpisodeRecord { turns, close }])
    }

    /// An agent that says nothing at once, whose first token is the end: others crash on it, or lose its reward.
    #[test]
    fn an_empty_turn_is_legal_and_its_reward_counts() {
        let turns = vec![turn(0, 0, 2, 0.0), turn(0, 1, 0, 0.75), turn(1, 0, 1, 1.0)];
        let mut chain = chain(turns, Close::End).unwrap();
        let borders = [Boundary::Token, Boundary::Agent, Boundary::Step, Boundary::End];
        assert_eq!((chain.boundary(), chain.in_loss()), (&borders[..], &[true, true, false, true][..]));
        assert_eq!(chain.reward(), [0.0, 0.0, 0.75, 1.0]);
        chain.set_values(vec![0.25, 0.25, 9.0, 0.5]).unwrap();
        let config = GaeConfig { lambda: PerBorder::flat(1.0), ..GaeConfig::default() };
        // 1 - .5; before it .75 + .5 - .25 and what follows.
        assert_eq!(gae(&chain, &config).unwrap().advantage, [1.5, 1.5, 0.0, 0.5]);
        assert_eq!(chain.actions().logp(), [-1.0, 0.0, -0.5]);
    }

    #[test]
    fn what_is_no_episode_is_refused_with_its_place() {
        let refusal = |turns, close| chain(turns, close).unwrap_err().to_string();
        let message = refusal(vec![], Close::End);
        assert!(message.starts_with("episode 0 has no turn: leave it out"), "{message}");
        let message = refusal(vec![turn(1, 0, 1, 0.0), turn(0, 0, 1, 0.0)], Close::End);
        assert!(message.starts_with("episode 0 goes back from step 1 to step 0"), "{message}");
        let mut short = turn(0, 0, 2, 0.0);
        short.in_loss.pop();
        let message = refusal(vec![short], Close::End);
        assert!(message.starts_with("in_loss of a turn has 1 entries for 2 elements"), "{message}");
        let message = refusal(vec![turn(0, 0, 2, f64::NAN)], Close::End);
        assert!(message.starts_with("reward is NaN at element 1"), "{message}");
        let message = refusal(vec![turn(0, 0, 1, 0.0)], Close::Truncated { bootstrap: f64::INFINITY });
        assert!(message.starts_with("bootstrap value is inf at element 0"), "{message}");
        let mut unknown = turn(0, 0, 2, 0.0);
        unknown.logp[1] = f64::NAN;
        let message = refusal(vec![unknown.clone()], Close::End);
        assert!(message.starts_with("behaviour log-prob is NaN at element 1"), "{message}");
        unknown.in_loss[1] = false;
        assert!(chain(vec![unknown], Close::End).is_ok(), "an observation was not sampled");
    }

    /// Cut by a limit, every agent's own chain goes on from the bootstrap; ended, none does. Two agents, two steps.
    #[test]
    fn independent_agents_close_as_their_episode_does() {
        let turns = || (0..4).map(|at| turn(at / 2, at % 2, 1, f64::from(at))).collect();
        let bootstrap = 4.0;
        for (close, end) in [(Close::Truncated { bootstrap }, Boundary::Truncated), (Close::End, Boundary::End)] {
            let own = chain(turns(), close).unwrap().per_agent();
            assert_eq!(own.source, [0, 2, 1, 3]);
            assert_eq!(own.chain.boundary(), [Boundary::Step, end, Boundary::Step, end]);
            assert_eq!(own.chain.reward(), [0.0, 2.0, 1.0, 3.0]);
            let want: &[f64] = if end == Boundary::End { &[] } else { &[4.0, 4.0] };
            assert_eq!(own.chain.bootstrap(), want);
        }
    }
}
