//! What an advantage estimator refuses.

/// A request that has no advantage.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvantageError {
    /// A group estimator met a group with a single member.
    #[error(
        "{estimator} compares the members of a group, and group {group} has {size}: with one member the baseline is the reward itself; sample at least 2 per group (group_size), or use an estimator with a critic (gae) or a running baseline (rae, reinforce_pp)"
    )]
    GroupTooSmall {
        /// Who refuses.
        estimator: &'static str,
        /// The group, as keyed by the caller.
        group: u32,
        /// Its size.
        size: usize,
    },
    /// Centring within single sequences.
    #[error(
        "centring over {scope} {id} sees a single sequence: with gamma = lambda = 1 it removes the reward from the advantage; centre over the batch, or use groups of at least 2 sequences"
    )]
    LoneSequence {
        /// The scope asked for.
        scope: &'static str,
        /// Which one of them.
        id: u32,
    },
    /// Two inputs that belong together differ in length.
    #[error("{what} has {got} entries, expected {want}: one per sample, in the same order")]
    Length {
        /// Which input.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The expected length.
        want: usize,
    },
    /// A NaN or an infinity.
    #[error("{what} is {value} at position {index}: a faulted sample must be left out of the batch, never scored NaN")]
    NotFinite {
        /// Which input.
        what: &'static str,
        /// Where.
        index: usize,
        /// What.
        value: f64,
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
    /// Nothing to estimate.
    #[error("{estimator} was given no sample: skip the update when every sample was left out")]
    Empty {
        /// Who refuses.
        estimator: &'static str,
    },
}
