//! The base with an adapter added into its weights: a plain checkpoint that needs no adapter.

use marft_torch::GradMode;
use tch::{Kind, Tensor};

use super::adapter::LoraAdapter;
use crate::model::{Decoder, ModelConfig, Projection};

/// Shape and weights of `decoder` with `adapter` added: every weight by its Hugging Face name, `W + scale · B·A` where the
/// adapter has a part, computed in f32. Merged weights are f32; rounding them is for whoever stores them.
///
/// Where the head is tied to the embedding and the adapter changes it, the two come apart, and the shape says so.
pub fn merged(decoder: &Decoder, adapter: &LoraAdapter) -> (ModelConfig, Vec<(String, Tensor)>) {
    let _off = GradMode::off();
    let mut config = decoder.config().clone();
    let mut named = decoder.named_tensors();
    if config.tied && adapter.config().targets.contains(Projection::Head) {
        config.tied = false;
        named.push((format!("{}.weight", Projection::Head.name()), decoder.head_weight().shallow_clone()));
    }
    let scale = adapter.config().scale();
    for (layer, projection, a, b) in adapter.named_factors() {
        let path = format!("{}.weight", projection.path(layer));
        if let Some((_, weight)) = named.iter_mut().find(|(name, _)| *name == path) {
            *weight = weight.to_kind(Kind::Float) + b.matmul(&a) * scale;
        }
    }
    (config, named)
}
