//! What credit assignment refuses.

/// A reward that cannot be attributed as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CreditError {
    /// Nobody to pay.
    #[error("{rule} was given no turn: an episode without turns earns nothing and is left out")]
    NoTurns {
        /// Who refuses.
        rule: &'static str,
    },
    /// Two inputs that belong together differ in length.
    #[error("{rule}: {what} has {got} entries for {want}")]
    Length {
        /// Who refuses.
        rule: &'static str,
        /// Which input.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The expected length.
        want: usize,
    },
    /// A NaN or an infinity.
    #[error(
        "{rule}: {what} is {value} at position {index}; a broken judge or tool is a fault, not a reward: leave the episode out"
    )]
    NotFinite {
        /// Who refuses.
        rule: &'static str,
        /// Which input.
        what: &'static str,
        /// Where.
        index: usize,
        /// What.
        value: f64,
    },
    /// Replays are needed and absent.
    #[error(
        "{rule} needs at least one replay at position {agent}: roll the episode out again from there, or use step_discount or last_agent, which need none"
    )]
    NoReplay {
        /// Who refuses.
        rule: &'static str,
        /// The agent or turn without replays.
        agent: usize,
    },
    /// A setting outside its range.
    #[error("{name} = {value} is outside {range}: {hint}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        range: &'static str,
        /// What to use.
        hint: &'static str,
    },
}
