//! Drawings of a team: Graphviz dot, Mermaid, and SVG without an external program.
//!
//! All three show the same [`Picture`]: replicas as one stacked card, blocks as boxes with their rounds, guards on
//! edges, router edges dashed, edges from the round before dotted, trainable agents marked.

mod arrange;
mod cards;
mod dot;
mod layers;
mod mermaid;
mod paths;
mod picture;
mod svg;
mod text;

pub use dot::dot;
pub use mermaid::mermaid;
pub use picture::Picture;
pub use svg::svg;
