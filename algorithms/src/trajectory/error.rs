//! What makes a trajectory ill-formed.

/// A chain that cannot be built or used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrajectoryError {
    /// Two arrays that describe the same elements have different lengths.
    #[error("{what} has {got} entries for {want} elements: every element needs exactly one")]
    Length {
        /// Which array.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length it must have.
        want: usize,
    },
    /// A NaN or an infinity.
    #[error(
        "{what} is {value} at element {index}: find where it was made; it would poison every earlier element of the episode"
    )]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// The first offending element.
        index: usize,
        /// The offending number.
        value: f64,
    },
    /// An episode without a single turn.
    #[error("episode {episode} has no turn: leave it out of the batch instead of recording it empty")]
    EmptyEpisode {
        /// Its position among the records.
        episode: usize,
    },
    /// Turns recorded out of order.
    #[error(
        "episode {episode} goes back from step {from} to step {to}: record turns in the order in which they were taken"
    )]
    StepOrder {
        /// Its position among the records.
        episode: usize,
        /// The step of the earlier record.
        from: u32,
        /// The smaller step of the later record.
        to: u32,
    },
    /// A critic's values are needed and absent.
    #[error(
        "{estimator} needs a value per element and the chain has none: run the critic and call `set_values`, or use an estimator without a critic (monte_carlo, grpo, rloo)"
    )]
    NoValues {
        /// Who asked for them.
        estimator: &'static str,
    },
}
