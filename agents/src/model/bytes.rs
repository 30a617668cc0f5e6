//! What a model of a shape takes of memory, counted without loading it.

use marft_torch::PagedCache;
use tch::Kind;

use super::config::ModelConfig;
use super::projection::Projection;

impl ModelConfig {
    /// Bytes of all weights where passes run in `kind`: matrices, tables and biases in it, norms in f32. Norms of heads are
    /// there a second time, with a row for each head.
    pub fn weight_bytes(&self, kind: Kind) -> u64 {
        let norms = self.hidden + self.layers * if self.post_norms { 4 } else { 2 } * self.hidden;
        let of_heads = |rows: usize| if self.qk_norm { self.layers * rows * self.head_dim } else { 0 };
        let narrow = self.parameters() - norms - of_heads(2);
        let wide = norms + of_heads(2 + self.heads + self.kv_heads);
        (narrow * kind.elt_size_in_bytes() + wide * 4) as u64
    }

    /// Bytes of the copies that [`Placement::packed`](super::Placement) keeps of every linear weight, the output head's among
    /// them, also where it is the embedding table.
    pub fn packed_bytes(&self, kind: Kind) -> u64 {
        let of = |projection: Projection| {
            let (input, output) = projection.widths(self);
            input * output * if projection == Projection::Head { 1 } else { self.layers }
        };
        (Projection::ALL.into_iter().map(of).sum::<usize>() * kind.elt_size_in_bytes()) as u64
    }

    /// Bytes of keys and values of `positions` tokens over all layers, in whole blocks of the cache.
    pub fn cache_bytes(&self, positions: usize, kind: Kind) -> u64 {
        let blocks = positions.div_ceil(marft_torch::paged_attention::block_size());
        let block = self.layers * PagedCache::bytes_per_block(self.kv_heads, self.head_dim, kind);
        blocks as u64 * block as u64
    }
}

#[cfg(test)]
mod tests {
    use tch::Tensor;

    use crate::model::{Decoder, Linear, Placement, Site, random};

    fn bytes(tensor: &Tensor) -> u64 {
        (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
    }

    /// Every linear layer of a decoder, the head last.
    fn linears(decoder: &Decoder) -> Vec<&Linear> {
        let sites = [Site::Qkv, Site::Output, Site::GateUp, Site::Down];
        let blocks = (0..decoder.config().layers).flat_map(|layer| sites.map(|site| decoder.linear(layer, site)));
        blocks.chain([decoder.linear(0, Site::Head)]).collect()
    }

    #[test]
    fn what_is_reckoned_is_what_a_loaded_decoder_holds() {
        for family in ["llama", "qwen2", "qwen3", "gemma3"] {
            for (placement, tied) in [(Placement::EXACT, true), (Placement::FAST, true), (Placement::FAST, false)] {
                let (mut config, seed) = random::parse(&format!("random:{family}")).unwrap();
                config.tied = tied;
                let source = random::RandomSource::new(&config, seed);
                let decoder = Decoder::load(&config, &source, placement).unwrap();
                let stored: u64 = decoder.named_tensors().iter().map(|(_, tensor)| bytes(tensor)).sum();
                let rows = if config.qk_norm { config.layers * (config.heads + config.kv_heads) } else { 0 };
                let weights = stored + (rows * config.head_dim * 4) as u64;
                assert_eq!(config.weight_bytes(placement.kind), weights, "{family} {placement:?}");
                let packed = linears(&decoder).into_iter().filter(|linear| linear.is_packed());
                let copies: u64 = packed.map(|linear| bytes(linear.weight())).sum();
                let reckoned = if placement.packed { config.packed_bytes(placement.kind) } else { 0 };
                assert_eq!(reckoned, copies, "{family} {placement:?}");
            }
        }
    }
}
