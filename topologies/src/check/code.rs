//! The codes of problems. A code never changes its meaning; each has a page under `docs/errors/`.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal),+ $(,)?) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $variant),+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable spelling, also the name of its page.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }
        }
    };
}

codes! {
    /// The file could not be read, is too large, or is not UTF-8.
    Unreadable = "unreadable-file",
    /// The file is not TOML (or not JSON, for profiles).
    Syntax = "syntax",
    /// Tables, keys or teams are nested too deep.
    TooDeep = "too-deep",
    /// The expanded team has too many nodes or edges.
    TooLarge = "too-large",
    /// A key that the format does not have.
    UnknownKey = "unknown-key",
    /// A key that must be present is not.
    MissingKey = "missing-key",
    /// A value of another type than the key takes.
    WrongType = "wrong-type",
    /// A value outside its range, or a word outside its set.
    BadValue = "bad-value",
    /// Two keys that exclude each other, or one that needs another.
    BadCombination = "bad-combination",
    /// A name given twice.
    DuplicateId = "duplicate-id",
    /// A name that cannot be used in templates and guards.
    BadName = "bad-name",
    /// A reference to something that does not exist.
    DanglingReference = "dangling-reference",
    /// A team without members.
    EmptyTeam = "empty-team",
    /// An edge from a node to itself in the same round.
    SelfEdge = "self-edge",
    /// A cycle of edges without delay.
    UncappedCycle = "uncapped-cycle",
    /// A loop, rounds or router without a cap.
    UncappedLoop = "uncapped-loop",
    /// An edge that never delivers because the rounds end before its delay has passed.
    SilentEdge = "silent-edge",
    /// A team that contains itself through files.
    RecursiveTeam = "recursive-team",
    /// A node that nothing ever sets off.
    UnreachableNode = "unreachable-node",
    /// A path that never reaches an end.
    EndlessPath = "endless-path",
    /// Two ports of different types.
    TypeMismatch = "type-mismatch",
    /// A private field that would leave its agent.
    PrivateField = "private-field",
    /// A variable used before anything sets it.
    UnsetVariable = "unset-variable",
    /// A trainable agent that no reward reaches.
    NoRewardPath = "no-reward-path",
    /// An agent that cannot be trained but is said to be.
    Untrainable = "untrainable",
    /// A frozen agent with an optimiser.
    FrozenOptimizer = "frozen-optimizer",
    /// A budget below the worst case without a declared outcome.
    BudgetTooSmall = "budget-too-small",
    /// The longest observation does not fit the context window.
    ContextOverflow = "context-overflow",
    /// A template that does not compile.
    BadTemplate = "bad-template",
    /// A template variable that does not exist.
    UnknownVariable = "unknown-variable",
    /// A guard or expression that does not compile.
    BadExpression = "bad-expression",
    /// A regex that does not compile.
    BadRegex = "bad-regex",
    /// A JSON Schema that does not compile.
    BadSchema = "bad-schema",
    /// Replicas, a map or a list input without a bound.
    Unbounded = "unbounded",
    /// A preset that does not exist.
    UnknownPreset = "unknown-preset",
    /// A file or folder that is named but not there.
    MissingFile = "missing-file",
    /// A MARFT profile list that is not well-formed.
    BadProfile = "bad-profile",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        let mut pages: Vec<_> = fs_err::read_dir(folder)
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".md")?.to_owned()))
            .filter(|page| page != "README")
            .collect();
        pages.sort();
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
        codes.sort();
        assert_eq!(pages, codes);
    }
}
