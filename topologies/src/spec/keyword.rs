//! Closed sets of words (`tie = "first"`), written once: the enum, its spelling, its schema and its reader.

/// Declares an enum whose variants are words of the file format.
#[macro_export]
macro_rules! keywords {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// The words of the format, in declared order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this value.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value for a word.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl $crate::spec::read::Read for $name {
            fn read(value: $crate::spec::read::Value<'_, '_>, reader: &mut $crate::spec::read::Reader) -> Option<Self> {
                let word = String::read(value, reader)?;
                let found = Self::from_word(&word);
                if found.is_none() {
                    reader.unknown_word(value.span, &word, Self::WORDS);
                }
                found
            }
        }
    };
}
