//! What a loss refuses.

/// A loss that cannot be computed from what it was given.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// Two inputs that describe the same tokens have different lengths.
    #[error("{what} has {got} entries, expected {want}: every token of the flat batch needs exactly one")]
    Length {
        /// Which input.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The length it must have.
        want: usize,
    },
    /// A NaN or an infinity at a token that is in the loss.
    #[error(
        "{what} is {value} at token {index}: it would poison every parameter of the policy; skip the batch and find where it was made"
    )]
    NotFinite {
        /// Which input.
        what: &'static str,
        /// The first offending token.
        index: usize,
        /// The offending number.
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
    /// A tensor of another shape than the function takes.
    #[error("{what} has shape {got:?}, expected {want}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        got: Vec<i64>,
        /// What it must be.
        want: &'static str,
    },
    /// A column that the objective needs is absent.
    #[error("{algorithm} needs {what}: {hint}")]
    Missing {
        /// Who needs it.
        algorithm: &'static str,
        /// What is absent.
        what: &'static str,
        /// How to give it, or what to use instead.
        hint: &'static str,
    },
    /// Dynamic sampling used up its rounds.
    #[error(
        "{kept} of {wanted} groups carry a signal after {rounds} rounds of sampling: every other group is all right or all wrong; use tasks of mixed difficulty, larger groups, or a higher `max_rounds`"
    )]
    NoSignal {
        /// Informative groups found.
        kept: usize,
        /// Groups the batch needs.
        wanted: usize,
        /// Rounds of generation used.
        rounds: usize,
    },
    /// libtorch refused an operation.
    #[error("libtorch refused: {0}")]
    Torch(String),
}

impl From<tch::TchError> for LossError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.to_string())
    }
}

impl From<marft_torch::Error> for LossError {
    fn from(error: marft_torch::Error) -> Self {
        Self::Torch(error.to_string())
    }
}

/// Refuses a setting that is not above zero.
pub(crate) fn positive(name: &'static str, value: f64, hint: &'static str) -> Result<(), LossError> {
    within(name, value, value > 0.0 && value.is_finite(), "(0, inf)", hint)
}

/// Refuses a setting for which `holds` is false.
pub(crate) fn within(
    name: &'static str,
    value: f64,
    holds: bool,
    range: &'static str,
    hint: &'static str,
) -> Result<(), LossError> {
    if holds { Ok(()) } else { Err(LossError::Setting { name, value, range, hint }) }
}

/// Refuses an input of another length.
pub(crate) fn same_length(what: &'static str, got: usize, want: usize) -> Result<(), LossError> {
    if got == want { Ok(()) } else { Err(LossError::Length { what, got, want }) }
}
