//! What tree packing refuses.

/// Branches that cannot be packed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError {
    /// A branch without tokens.
    #[error("branch {branch} has no token: leave it out")]
    EmptyBranch {
        /// Its index.
        branch: usize,
    },
    /// Policies and tokens of a branch differ in number.
    #[error("branch {branch} has {got} policies for {want} tokens: give one per token, or none for a single policy")]
    Policies {
        /// Its index.
        branch: usize,
        /// Policies given.
        got: usize,
        /// Tokens.
        want: usize,
    },
    /// Per-branch numbers that do not match the branches.
    #[error("{what} of branch {branch} has {got} entries for {want} tokens")]
    Length {
        /// Which numbers.
        what: &'static str,
        /// Which branch.
        branch: usize,
        /// Their number.
        got: usize,
        /// The tokens of the branch.
        want: usize,
    },
    /// The wrong number of branches.
    #[error("{what} has {got} branches, the tree {want}")]
    Branches {
        /// Which numbers.
        what: &'static str,
        /// Branches given.
        got: usize,
        /// Branches of the tree.
        want: usize,
    },
    /// One branch alone exceeds the budget.
    #[error(
        "branch {branch} has {tokens} tokens and a pack holds {budget}: a branch is never cut; raise the budget or shorten the branch"
    )]
    OverBudget {
        /// Its index.
        branch: usize,
        /// Its tokens.
        tokens: usize,
        /// The budget.
        budget: usize,
    },
}
