//! Reading what a policy wrote: tool calls, tags and fields, and decoding that admits nothing else.
//!
//! An answer is a sample and may be anything. Parsers therefore never fail: a call that is cut off or malformed is a result
//! with a type, which a reward can count and an environment can answer. They work on the stream of tokens, so that a tool can
//! start before the turn is over, and they say which tokens every find came from, so that training can weigh them.

#[cfg(feature = "constrained")]
mod constrained;
mod field;
mod form;
mod markup;
mod pick;
mod scanner;
mod stream;
mod tags;
mod token_map;
mod tool_call;

/// Why a build that cannot hold answers to a form does not.
#[cfg(not(feature = "constrained"))]
pub(crate) const UNCONSTRAINED: &str = "this build lacks the feature `constrained`";

#[cfg(feature = "constrained")]
pub use constrained::{Constraint, ConstraintError, Constraints, TokenSet};
pub use field::{Field, FieldError};
pub use form::Form;
pub use markup::{Markup, MarkupError, TOOL_CALL_CLOSE, TOOL_CALL_OPEN};
pub use pick::{Excerpt, Pick, ReadError};
pub use scanner::{Found, Item, Scanner, scan};
pub use stream::{Event, Turn, TurnParser};
pub use tags::{TagParse, Tags, find_tags, read_tag};
pub use token_map::TokenMap;
pub use tool_call::{ToolCall, ToolCallError, ToolCallParse, find_tool_calls};
