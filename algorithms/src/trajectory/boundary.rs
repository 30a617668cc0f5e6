//! The kind of border that follows an element of the chain.
//!
//! Discounts and lambdas differ by border, so the border is data: an action-level chain, a token-level chain and a
//! single-turn batch are the same array with different borders.

/// What lies between an element and the next one, from the weakest border to the strongest.
///
/// When elements outside the loss are skipped, the strongest border of the skipped run counts (`Ord`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Boundary {
    /// The next token of the same action.
    #[default]
    Token,
    /// The next agent acts, inside the same environment step.
    Agent,
    /// The environment moved: the first agent of the next step acts.
    Step,
    /// The episode was cut by a limit, not by its own end: the rest is worth the bootstrap value.
    Truncated,
    /// The episode ended: nothing follows.
    End,
}

impl Boundary {
    /// All kinds, in the order of their strength; `kind as usize` is the position in this array.
    pub const ALL: [Self; 5] = [Self::Token, Self::Agent, Self::Step, Self::Truncated, Self::End];

    /// True where nothing of the same episode follows.
    pub fn closes(self) -> bool {
        self >= Self::Truncated
    }
}
