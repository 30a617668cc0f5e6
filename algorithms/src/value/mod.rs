//! Value losses: what a critic learns from.

pub mod clipped;

pub use clipped::{ValueBatch, ValueCurve, ValueDiagnostics, ValueLoss, ValueLossConfig, value_loss};
