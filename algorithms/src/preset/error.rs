//! What the settings of an algorithm can get wrong.

/// Settings that name or describe no algorithm.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PresetError {
    /// No such preset.
    #[error("there is no preset `{name}`: did you mean `{nearest}`?")]
    UnknownPreset {
        /// What was asked for.
        name: String,
        /// The nearest known name.
        nearest: &'static str,
    },
    /// The preset exists, but not in this flavour.
    #[error("{defaults} has no preset `{name}` of its own: leave `defaults` out to use ours")]
    NoSuchDefaults {
        /// The preset.
        name: String,
        /// Whose values were asked for.
        defaults: String,
    },
    /// No such key.
    #[error("unknown key `{key}`: did you mean `{nearest}`?")]
    UnknownKey {
        /// What was given.
        key: String,
        /// The nearest known key.
        nearest: String,
    },
    /// One setting given twice, with different values.
    #[error("`{first}` and `{second}` are two names of one setting and disagree: keep one of them")]
    GivenTwice {
        /// The first name.
        first: String,
        /// The second name.
        second: String,
    },
    /// A value of the wrong type or an unknown choice.
    #[error("`{key}` cannot be {value}: {reason}")]
    Value {
        /// The key, as given.
        key: String,
        /// The value.
        value: String,
        /// Why not.
        reason: String,
    },
    /// A key that the chosen algorithm does not read.
    #[error("`{key}` would have no effect: {reason}")]
    Unread {
        /// The key, as given.
        key: String,
        /// Why, and what to change.
        reason: &'static str,
    },
    /// Settings that contradict one another.
    #[error("{what}: {hint}")]
    Combination {
        /// What contradicts.
        what: &'static str,
        /// What to use.
        hint: &'static str,
    },
    /// A part of the data that the estimator needs was not given.
    #[error("{estimator} needs {what}")]
    Missing {
        /// Who asks.
        estimator: &'static str,
        /// For what.
        what: &'static str,
    },
}
