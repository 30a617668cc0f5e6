//! Rewards: named terms, each a pure function of what was said and of the task's row, combined by weight and gate.
//!
//! A term says how good an answer is; it never says that something broke. What cannot be judged (a missing field of the
//! row, a gold number that is no number) is a [`RewardFault`], counted apart and kept out of the loss: reward 0 is only
//! ever something the reward said.

mod code;
mod combine;
mod contains;
mod exact_match;
mod format;
mod label_set;
mod length;
pub mod maths;
mod normalise;
mod numeric;
mod registry;
mod spoken;
mod token_f1;

pub use code::Code;
pub use combine::{Attach, Composite, CompositeError, Gate, Tally, TermScore, TermSpec};
pub use contains::Contains;
pub use exact_match::ExactMatch;
pub use format::Format;
pub use label_set::LabelSet;
pub use length::LengthShaping;
pub use maths::MathsAnswer;
pub use normalise::{Normaliser, normalise};
pub use numeric::Numeric;
pub use registry::{RegistryError, RewardRegistry};
pub(crate) use spoken::ends;
pub use spoken::{Spoken, TokenReward};
pub use token_f1::{Overlap, TokenF1};

/// What a reward term looks at.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// The text to judge: an agent's whole turn, or one of its parsed output fields. `None` where the field was not
    /// found in what the agent said.
    pub answer: Option<&'a str>,
    /// The acceptable answers of the task's row; the best match counts.
    pub gold: &'a [String],
    /// Tokens of the turn that is judged.
    pub tokens: usize,
}

/// One reward function. Implement it for rewards of your own and hand it to the engine.
///
/// ```
/// use marft_engine::reward::{Evidence, RewardFault, RewardTerm};
///
/// /// Pays for saying please.
/// #[derive(Debug)]
/// struct Politeness;
///
/// impl RewardTerm for Politeness {
///     fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
///         Ok(f64::from(evidence.answer.is_some_and(|text| text.contains("please"))))
///     }
/// }
///
/// let evidence = Evidence { answer: Some("yes, please"), gold: &[], tokens: 3 };
/// assert_eq!(Politeness.score(&evidence)?, 1.0);
/// # Ok::<(), RewardFault>(())
/// ```
pub trait RewardTerm: Send + Sync + std::fmt::Debug {
    /// The raw score, before weight and gate. Any finite number; most terms stay within 0 and 1.
    ///
    /// # Errors
    /// [`RewardFault`] when the term cannot judge. Never use a score of 0 for that.
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault>;

    /// What single tokens of the judged turn earn beside the score, before weight and gate. They are paid at these tokens,
    /// wherever the score attaches; in the logs the term has given the sum of all. Asked only where the words that are
    /// judged are those of a turn that a policy sampled token by token.
    ///
    /// ```
    /// use marft_engine::reward::{Evidence, RewardFault, RewardTerm, Spoken, TokenReward};
    ///
    /// /// Charges for every exclamation mark, where it stands.
    /// #[derive(Debug)]
    /// struct Calm;
    ///
    /// impl RewardTerm for Calm {
    ///     fn score(&self, _: &Evidence<'_>) -> Result<f64, RewardFault> {
    ///         Ok(0.0)
    ///     }
    ///
    ///     fn token_rewards(&self, _: &Evidence<'_>, spoken: &Spoken<'_>) -> Result<Vec<TokenReward>, RewardFault> {
    ///         let marks = spoken.text.match_indices('!').filter_map(|(byte, _)| spoken.token_at(byte));
    ///         Ok(marks.map(|token| TokenReward { token, reward: -0.1 }).collect())
    ///     }
    /// }
    ///
    /// let evidence = Evidence { answer: Some("oh no!"), gold: &[], tokens: 2 };
    /// let spoken = Spoken { text: "oh no!", ends: &[2, 6] };
    /// assert_eq!(Calm.token_rewards(&evidence, &spoken)?, [TokenReward { token: 1, reward: -0.1 }]);
    /// # Ok::<(), RewardFault>(())
    /// ```
    ///
    /// # Errors
    /// As of [`score`](Self::score).
    fn token_rewards(&self, evidence: &Evidence<'_>, spoken: &Spoken<'_>) -> Result<Vec<TokenReward>, RewardFault> {
        let (_, _) = (evidence, spoken);
        Ok(vec![])
    }

    /// Whether it waits on something: a child process, a server. It then judges on another thread, and holds up no episode
    /// but its own.
    fn blocking(&self) -> bool {
        false
    }
}

/// Why a reward could not be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewardFault {
    /// The row has nothing to compare with.
    #[error("the task's row has no gold answer to compare with")]
    NoGold,
    /// The gold answer is not what the term compares.
    #[error("the gold answer `{gold}` is not {expected}")]
    BadGold {
        /// The gold answer, as the row has it.
        gold: String,
        /// What the term needs.
        expected: &'static str,
    },
    /// A term paid a token that was not sampled.
    #[error("reward term `{term}` paid token {token} of {tokens}, counted from 0")]
    NoSuchToken {
        /// The term's name.
        term: String,
        /// What it paid.
        token: usize,
        /// Tokens there are.
        tokens: usize,
    },
    /// A custom term failed.
    #[error("reward term failed: {0}")]
    Custom(String),
    /// A term gave a number that is not finite.
    #[error("reward term `{term}` gave {value}, which is not finite")]
    NotFinite {
        /// The term's name.
        term: String,
        /// What it gave, as text.
        value: String,
    },
}

/// The best score over all gold answers; the fault of a row without any.
fn best_of(
    evidence: &Evidence<'_>,
    mut score: impl FnMut(&str, &str) -> Result<f64, RewardFault>,
) -> Result<f64, RewardFault> {
    if evidence.gold.is_empty() {
        return Err(RewardFault::NoGold);
    }
    let Some(answer) = evidence.answer else { return Ok(0.0) };
    let mut best = 0.0_f64;
    for gold in evidence.gold {
        best = best.max(score(answer, gold)?);
    }
    Ok(best)
}
