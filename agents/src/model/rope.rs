//! Rotary position embedding: frequencies of a layer kind, and the rotation of query and key heads.
//!
//! The halves of a head are rotated against each other (`x[i]` with `x[i + d/2]`), as Hugging Face checkpoints store them.

use std::f64::consts::TAU;

use marft_torch::rows::split_rotate;
use tch::{Device, Kind, Tensor};

use super::config::{ModelConfig, RopeConfig, RopeScaling};

/// The frequencies of one kind of layer.
#[derive(Debug)]
pub(crate) struct Rope {
    frequencies: Tensor,
    amplitude: f64,
}

/// Cosine and sine for the rows of one pass, f32 \[n, d/2\], shared by every layer of a kind.
#[derive(Debug)]
pub(crate) struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// Frequencies for heads of `head_dim` values.
    pub(crate) fn new(config: RopeConfig, head_dim: usize, device: Device) -> Self {
        let frequencies: Vec<f32> = frequencies(config, head_dim).into_iter().map(|value| value as f32).collect();
        let amplitude = match config.scaling {
            Some(RopeScaling::Yarn { attention_factor, .. }) => attention_factor,
            _ => 1.0,
        };
        Self { frequencies: Tensor::from_slice(&frequencies).to_device(device), amplitude }
    }

    /// Angles for `positions` \[n\].
    pub(crate) fn angles(&self, positions: &Tensor) -> Angles {
        let angle = positions.to_kind(Kind::Float).unsqueeze(-1) * &self.frequencies;
        Angles { cos: angle.cos() * self.amplitude, sin: angle.sin() * self.amplitude }
    }
}

impl Angles {
    /// Splits heads \[n, queries + keys + values, d\] into rotated queries and keys, and values as they are (maybe none).
    pub(crate) fn split(&self, heads: &Tensor, queries: i64, keys: i64) -> (Tensor, Tensor, Tensor) {
        split_rotate(heads, &self.cos, &self.sin, queries, keys)
            .unwrap_or_else(|error| panic!("a rotation met heads that are not its own: {error}"))
    }
}

impl ModelConfig {
    /// What `scaling` divides each frequency of the whole-context rope by.
    pub(crate) fn rope_factors(&self, scaling: RopeScaling) -> Vec<f64> {
        let plain = RopeConfig { theta: self.rope.theta, scaling: None };
        let stretched = RopeConfig { theta: self.rope.theta, scaling: Some(scaling) };
        let pairs = frequencies(plain, self.head_dim).into_iter().zip(frequencies(stretched, self.head_dim));
        pairs.map(|(plain, stretched)| plain / stretched).collect()
    }
}

/// `d/2` frequencies in radians per token.
fn frequencies(config: RopeConfig, head_dim: usize) -> Vec<f64> {
    let base = (0..head_dim / 2).map(|i| config.theta.powf(-((2 * i) as f64) / head_dim as f64));
    match config.scaling {
        None => base.collect(),
        Some(RopeScaling::Linear { factor }) => base.map(|frequency| frequency / factor).collect(),
        Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context }) => base
            .map(|frequency| {
                let rotations = original_context * frequency / TAU;
                let kept = ((rotations - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            })
            .collect(),
        Some(RopeScaling::Yarn { factor, beta_fast, beta_slow, original_context, truncate, attention_factor: _ }) => {
            let dimension = |rotations: f64| {
                head_dim as f64 * (original_context / (rotations * TAU)).ln() / (2.0 * config.theta.ln())
            };
            let (mut low, mut high) = (dimension(beta_fast), dimension(beta_slow));
            if truncate {
                (low, high) = (low.floor(), high.ceil());
            }
            let (low, high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
            let width = if high == low { 0.001 } else { high - low };
            base.enumerate()
                .map(|(i, frequency)| {
                    let stretched = ((i as f64 - low) / width).clamp(0.0, 1.0);
                    frequency * (1.0 - stretched) + frequency / factor * stretched
                })
                .collect()
        }
    }
}
