//! Seeded weights of a given shape: `random:smollm2-135m`, `random:llama,hidden=64,layers=2,seed=7`.
//!
//! For benches and tests without downloads. Values are a pure function of the seed, the tensor's name and the index, by
//! arithmetic that any language can repeat, so a reference program can build the very same model from one line of text.

use rayon::prelude::*;
use tch::Tensor;

use super::config::ModelConfig;
use super::error::ModelError;
use super::shapes;
use super::source::TensorSource;

/// The prefix of a random model's name.
pub const PREFIX: &str = "random:";

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Weights drawn on demand.
///
/// A value is uniform with mean 0 and standard deviation `1/√(last dimension)` (matrices) or 0.1 (vectors); norm weights
/// are one plus such a vector, or the vector itself where a family stores the distance from one. The generator is
/// SplitMix64 in counter mode, started at `seed` xor the FNV-1a hash of the tensor's Hugging Face name.
#[derive(Debug, Clone)]
pub struct RandomSource {
    seed: u64,
    offset_norm: bool,
}

impl RandomSource {
    /// Weights of `seed` for the family of `config`.
    pub fn new(config: &ModelConfig, seed: u64) -> Self {
        Self { seed, offset_norm: config.offset_norm }
    }
}

impl TensorSource for RandomSource {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let count = shape.iter().product::<i64>() as usize;
        let deviation = if shape.len() > 1 { 1.0 / (shape[shape.len() - 1] as f64).sqrt() } else { 0.1 };
        let mean = if name.ends_with("norm.weight") && !self.offset_norm { 1.0 } else { 0.0 };
        let start = self.seed ^ fnv1a(name);
        let half_width = deviation * 3_f64.sqrt();
        let value = |index: usize| {
            let unit = (mix(start, index as u64) >> 11) as f64 / (1_u64 << 53) as f64;
            (mean + half_width * (2.0 * unit - 1.0)) as f32
        };
        let values: Vec<f32> = (0..count).into_par_iter().map(value).collect();
        Ok(Tensor::from_slice(&values).reshape(shape))
    }

    fn has(&self, _name: &str) -> bool {
        true
    }
}

/// Reads `random:<shape>[,key=value…]` into a shape and a seed.
///
/// `<shape>` is a family (`llama`, `qwen2`, `qwen3`, `gemma3`: a tiny model) or a published size ([`shapes::NAMES`]).
/// Keys: `hidden layers heads kv_heads head_dim ffn vocab context seed`.
pub fn parse(text: &str) -> Result<(ModelConfig, u64), ModelError> {
    let fault = |reason: String| ModelError::Config { origin: text.to_owned(), reason };
    let mut parts = text.strip_prefix(PREFIX).unwrap_or(text).split(',').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let mut config = shapes::named(name)
        .ok_or_else(|| fault(format!("`{name}` is no known shape; there are {}", shapes::NAMES.join(", "))))?;
    let mut seed = 0;
    let mut windows = config.windowed.clone();
    for part in parts {
        let (key, value) = part.split_once('=').ok_or_else(|| fault(format!("`{part}` is not `key=value`")))?;
        let number: u64 = value.trim().parse().map_err(|_| fault(format!("`{part}`: not a whole number")))?;
        let size = usize::try_from(number).map_err(|_| fault(format!("`{part}`: too large")))?;
        match key.trim() {
            "hidden" => config.hidden = size,
            "layers" => config.layers = size,
            "heads" => config.heads = size,
            "kv_heads" => config.kv_heads = size,
            "head_dim" => config.head_dim = size,
            "ffn" => config.ffn = size,
            "vocab" => config.vocab = size,
            "context" => config.context = size,
            "seed" => seed = number,
            other => {
                let keys = "hidden, layers, heads, kv_heads, head_dim, ffn, vocab, context, seed";
                return Err(fault(format!("unknown key `{other}`; there are {keys}")));
            }
        }
    }
    if config.layers != windows.len() {
        windows = (0..config.layers.min(1 << 12)).map(|layer| windows[layer % windows.len()]).collect();
    }
    config.windowed = windows;
    // as the families derive them from the sizes
    config.query_scale = (config.head_dim as f64).powf(-0.5);
    config.embedding_scale = config.embedding_scale.map(|_| (config.hidden as f64).sqrt());
    config.check(text)?;
    Ok((config, seed))
}

/// The `index`-th output of SplitMix64 started at `start`.
fn mix(start: u64, index: u64) -> u64 {
    let mut z = start.wrapping_add(GOLDEN.wrapping_mul(index.wrapping_add(1)));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
