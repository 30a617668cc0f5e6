//! Edges: D(i, j) = 1 as data, with what is carried, when, and how late.

use super::NodeId;
use crate::expr::Guard;
use crate::source::{Span, Spanned};
use crate::template::Template;

/// `to` is conditioned on `from`.
#[derive(Debug, Clone)]
pub struct Edge {
    /// Who spoke.
    pub from: NodeId,
    /// Who hears it.
    pub to: NodeId,
    /// What is carried.
    pub carries: Carries,
    /// 0 = this round; k = the k-th round before. A delayed edge never holds anything up, and is silent in the first
    /// k rounds.
    pub delay: u32,
    /// Condition for delivery, evaluated when `from` has spoken; false closes the edge for this round.
    pub when: Option<Spanned<Guard>>,
    /// How the message is written into the observation of `to`; `None` = the receiver's own fusion.
    pub template: Option<Spanned<Template>>,
    /// Why the edge exists.
    pub origin: EdgeOrigin,
    /// Where it was declared.
    pub span: Span,
}

/// What an edge carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Carries {
    /// The whole output without the speaker's private scratch.
    #[default]
    Text,
    /// One output field.
    Field(String),
}

/// Which part of the file an edge came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EdgeOrigin {
    /// `sees = […]`.
    Sees,
    /// `[[edges]]`.
    Declared,
    /// A topic with publishers and subscribers.
    Topic(String),
    /// From a router to one it may call: delivers only when the router names the target.
    Route,
    /// From one who was called back to its router, one step later.
    Return,
    /// The list a map or a function with `over` runs on.
    Over,
}
