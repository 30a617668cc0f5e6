//! Indices into a [`Team`](super::Team): small, copyable, and never mixed up with one another.

macro_rules! index {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);

        impl $name {
            /// The position in the team's list.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl From<usize> for $name {
            fn from(index: usize) -> Self {
                Self(u32::try_from(index).expect("a team holds fewer than 2^32 of anything: the checker caps it"))
            }
        }
    )+};
}

index! {
    /// A node: an agent, a function, or a block seen from outside.
    NodeId,
    /// An edge.
    EdgeId,
    /// A block: the team itself, a sub-team, a loop, or a router with those it may call.
    BlockId,
    /// A policy: the weights (or the endpoint, or the person) behind one or more agents.
    PolicyId,
    /// A typed state variable.
    VariableId,
    /// A memory.
    MemoryId,
}
