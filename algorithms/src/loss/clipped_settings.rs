//! The settings that every clipped loss begins with: its bounds, under the names of both vocabularies.
//!
//! A macro and not a struct inside the structs, because serde cannot flatten and refuse unknown keys at once.

/// Declares the settings of a loss: `clip_low`, `clip_high` of the given type, and its own.
macro_rules! clipped_settings {
    (
        $(#[$about:meta])*
        $name:ident, clip_high: $high:ty,
        $($(#[$field_about:meta])* $field:ident: $kind:ty,)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            /// ε_low: how far below 1 the ratio may fall.
            #[serde(
                alias = "epsilon",
                alias = "epsilon_low",
                alias = "clip_ratio",
                alias = "clip_ratio_low",
                alias = "eps_clip"
            )]
            pub clip_low: f64,
            /// ε_high: how far above 1 the ratio may rise. `None`, where it may be, is the same as `clip_low`.
            #[serde(alias = "epsilon_high", alias = "clip_ratio_high", alias = "eps_clip_higher")]
            pub clip_high: $high,
            $($(#[$field_about])* pub $field: $kind,)*
        }
    };
}

pub(super) use clipped_settings;
