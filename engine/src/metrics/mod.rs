//! What a run writes down about itself: one JSON line a step, and TensorBoard event files.

mod curve;
mod jsonl;
mod tensorboard;
mod warnings;

pub use curve::{Curve, sparkline, svg};
pub use jsonl::MetricsLog;
pub use tensorboard::EventWriter;
pub use warnings::{Vitals, Warning, Watch};
