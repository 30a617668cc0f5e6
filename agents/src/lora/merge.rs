//! The base with an adapter added into its weights: a plain checkpoint that needs no adapter.

use std::collections::HashMap;
use std::path::Path;

use marft_torch::GradMode;
use tch::{Kind, Tensor};

use super::adapter::LoraAdapter;
use super::error::LoraError;
use crate::model::{Decoder, Projection};
use crate::tensor_file;

/// Every weight of `decoder` by its Hugging Face name, with `adapter` added: `W + scale · B·A`, computed in f32 and rounded to
/// the kind of the weight. Where the head is tied to the embedding and the adapter changes it, the two come apart.
pub fn merged_tensors(decoder: &Decoder, adapter: &LoraAdapter) -> Vec<(String, Tensor)> {
    let _off = GradMode::off();
    let mut named = decoder.named_tensors();
    let head = format!("{}.weight", Projection::Head.name());
    if adapter.config().targets.contains(Projection::Head) && !named.iter().any(|(name, _)| *name == head) {
        named.push((head, decoder.head_weight().shallow_clone()));
    }
    let scale = adapter.config().scale();
    for (layer, projection, a, b) in adapter.named_factors() {
        let path = format!("{}.weight", projection.path(layer));
        if let Some((_, weight)) = named.iter_mut().find(|(name, _)| *name == path) {
            let sum = weight.to_kind(Kind::Float) + b.matmul(&a) * scale;
            *weight = sum.to_kind(weight.kind());
        }
    }
    named
}

/// Writes [`merged_tensors`] as `model.safetensors` into `folder`, at once.
pub fn export_merged(decoder: &Decoder, adapter: &LoraAdapter, folder: &Path) -> Result<(), LoraError> {
    let path = folder.join("model.safetensors");
    // Norm weights are kept in f32 in memory; a checkpoint has one type.
    let kind = decoder.placement().kind;
    let tensors: Vec<_> =
        merged_tensors(decoder, adapter).into_iter().map(|(name, tensor)| (name, tensor.to_kind(kind))).collect();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    tensor_file::write(&path, &tensors, metadata).map_err(|source| LoraError::File { doing: "write", path, source })
}
