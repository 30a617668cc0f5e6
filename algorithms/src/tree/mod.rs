//! Tree packing: training on many branches of one task without computing their common prefixes twice.
//!
//! # What it is
//! Turns, agents, sub-agents, parallel tool calls and rewritten memory make the tokens of one task a tree. Flattened
//! into one sequence per branch, a shared prefix is computed once per branch; packed, once.
//!
//! # Objective (formula)
//! ```text
//! L_flat = Σ_s Σ_{i in s} w_{s,i} l(x_{s,i} | x_{s,<i})
//! L_tree = Σ_v ( Σ_{s through v} w_{s,i} ) l(v | ancestors of v)  =  L_flat
//! ```
//! Every token attends to its ancestors only; its position is its depth. The values are identical, and the gradients
//! are equal, because autograd sums what the branches send into a shared token's keys and values.
//!
//! # When to use it, when not
//! Wherever `token_ratio` is well below 1. Sharing needs equal tokens *and* an equal policy for each of them: the
//! hidden state of a token depends on the adapter of everything before it.
//!
//! # Shapes, units, errors
//! [`PrefixTree::build`] takes branches (token ids, policy per token). A loss that is linear in the log-probability
//! (SFT, REINFORCE, on-policy surrogates) takes one [summed weight](PrefixTree::sum_weights) per tree token. Any other
//! loss (a clip depends on each branch's own advantage) gathers the tree's log-probabilities into the flat batch with
//! [`PrefixTree::gather`] and goes on as if there were no tree. [`PrefixTree::split`] cuts a tree that is too large
//! into packs whose losses add up to the whole.
//!
//! # References
//! Tree Training, arXiv 2511.00413; KAT-Coder, arXiv 2510.18779; AReaL's tree attention.
//!
//! # Example
//! ```
//! use marft_algorithms::tree::{Branch, PrefixTree};
//! let branches = [vec![1, 2, 3, 4], vec![1, 2, 5, 6], vec![1, 7, 8]];
//! let tree = PrefixTree::build(branches.iter().map(|tokens| Branch::new(tokens)))?;
//! assert_eq!((tree.flat_len(), tree.len()), (11, 8));
//! assert_eq!(tree.tokens(), [1, 2, 3, 4, 5, 6, 7, 8]);
//! assert_eq!(tree.positions(), [0, 1, 2, 3, 2, 3, 1, 2]);
//! assert!(tree.attends(5, 1) && !tree.attends(5, 3)); // 6 sees 2, not 4
//! # Ok::<(), marft_algorithms::Error>(())
//! ```

mod error;
mod mask;
mod prefix;
mod split;
mod weights;

pub use error::TreeError;
pub use prefix::{Branch, Node, PrefixTree};
pub use split::Pack;
