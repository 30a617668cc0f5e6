//! Putting a decoder together from named tensors, and taking it apart again.
//!
//! Projections that read the same rows are stored side by side, so reading and writing a checkpoint go through the same
//! table of names and columns.

use tch::{Kind, Tensor};

use super::attention::Attention;
use super::block::Block;
use super::config::ModelConfig;
use super::decoder::{Decoder, Placement};
use super::error::ModelError;
use super::head_norm::HeadNorm;
use super::linear::Linear;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::projection::{Projection, Site};
use super::rope::Rope;
use super::source::TensorSource;

const EMBEDDING: &str = "model.embed_tokens.weight";
const FINAL_NORM: &str = "model.norm.weight";

impl Decoder {
    /// Reads the weights of `config` from `source` and places them.
    pub fn load(config: &ModelConfig, source: &dyn TensorSource, placement: Placement) -> Result<Self, ModelError> {
        Loader { config, source, placement }.decoder()
    }

    /// Every weight by its Hugging Face name, as views into the decoder: a checkpoint, or the parameters of full
    /// fine-tuning. A tied head is not repeated. Norm weights are the stored ones, not the effective ones.
    pub fn named_tensors(&self) -> Vec<(String, Tensor)> {
        let config = &self.config;
        let mut named = vec![(EMBEDDING.to_owned(), self.embedding.shallow_clone())];
        let unshifted = |weight: &Tensor| if config.offset_norm { weight - 1.0 } else { weight.shallow_clone() };
        let stored = |norm: &RmsNorm| unshifted(norm.weight());
        for (layer, block) in self.blocks.iter().enumerate() {
            let path = |name: &str| format!("model.layers.{layer}.{name}.weight");
            let (after_attention, before_mlp) = norm_names(config);
            named.push((path("input_layernorm"), stored(&block.attention_norm)));
            for site in [Site::Qkv, Site::Output, Site::GateUp, Site::Down] {
                named.extend(split(config, layer, site, self.linear(layer, site)));
            }
            if let Some(norm) = &block.attention.head_norm {
                let rows = unshifted(norm.rows());
                named.push((path("self_attn.q_norm"), rows.get(0)));
                named.push((path("self_attn.k_norm"), rows.get(1)));
            }
            if let Some(norm) = &block.attention_post_norm {
                named.push((path(after_attention), stored(norm)));
            }
            named.push((path(before_mlp), stored(&block.mlp_norm)));
            if let Some(norm) = &block.mlp_post_norm {
                named.push((path("post_feedforward_layernorm"), stored(norm)));
            }
        }
        named.push((FINAL_NORM.to_owned(), stored(&self.norm)));
        if !config.tied {
            named.push((format!("{}.weight", Projection::Head.name()), self.head.weight().shallow_clone()));
        }
        named
    }

    /// Makes every weight a leaf that collects gradients, for full fine-tuning, and returns the leaves. Projections that
    /// share a product are one leaf, and so are the norms of query and key heads, and a tied head and the embedding.
    pub fn train_all(&mut self) -> Vec<Tensor> {
        self.embedding = self.embedding.set_requires_grad(true);
        let mut leaves = vec![self.embedding.shallow_clone()];
        for block in &mut self.blocks {
            let linears =
                [&mut block.attention.qkv, &mut block.attention.output, &mut block.mlp.gate_up, &mut block.mlp.down];
            for linear in linears {
                linear.train();
                leaves.push(linear.weight().shallow_clone());
                leaves.extend(linear.bias().map(Tensor::shallow_clone));
            }
            let norms =
                [Some(&mut block.attention_norm), block.attention_post_norm.as_mut(), Some(&mut block.mlp_norm)];
            for norm in norms.into_iter().chain([block.mlp_post_norm.as_mut()]).flatten() {
                leaves.push(norm.train());
            }
            leaves.extend(block.attention.head_norm.as_mut().map(HeadNorm::train));
        }
        leaves.push(self.norm.train());
        self.head.train();
        if !self.config.tied {
            leaves.push(self.head.weight().shallow_clone());
        }
        leaves
    }

    /// The linear layer at `site` of `layer` (any layer for the head).
    pub fn linear(&self, layer: usize, site: Site) -> &Linear {
        match site {
            Site::Qkv => &self.blocks[layer].attention.qkv,
            Site::Output => &self.blocks[layer].attention.output,
            Site::GateUp => &self.blocks[layer].mlp.gate_up,
            Site::Down => &self.blocks[layer].mlp.down,
            Site::Head => &self.head,
        }
    }
}

/// Names of the norms after attention and before the feed-forward part. Families without post norms call the latter
/// what the others call the former.
fn norm_names(config: &ModelConfig) -> (&'static str, &'static str) {
    let before_mlp = if config.post_norms { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
    ("post_attention_layernorm", before_mlp)
}

fn split(config: &ModelConfig, layer: usize, site: Site, linear: &Linear) -> Vec<(String, Tensor)> {
    let mut named = Vec::new();
    let mut start = 0;
    for projection in site.projections() {
        let (path, rows) = (projection.path(layer), projection.widths(config).1 as i64);
        named.push((format!("{path}.weight"), linear.weight().narrow(0, start, rows)));
        named.extend(linear.bias().map(|bias| (format!("{path}.bias"), bias.narrow(0, start, rows))));
        start += rows;
    }
    named
}

struct Loader<'a> {
    config: &'a ModelConfig,
    source: &'a dyn TensorSource,
    placement: Placement,
}

impl Loader<'_> {
    fn decoder(&self) -> Result<Decoder, ModelError> {
        let config = self.config;
        let embedding = self.weight(EMBEDDING, &[config.vocab, config.hidden])?;
        let head = if config.tied {
            embedding.shallow_clone()
        } else {
            self.weight(&format!("{}.weight", Projection::Head.name()), &[config.vocab, config.hidden])?
        };
        let blocks = (0..config.layers).map(|layer| self.block(layer)).collect::<Result<_, _>>()?;
        let rope = |rope| Rope::new(rope, config.head_dim, self.placement.device);
        Ok(Decoder {
            config: config.clone(),
            placement: self.placement,
            embedding,
            embedding_scale: config.embedding_scale.map(|scale| rounded(scale, self.placement.kind)),
            blocks,
            norm: self.norm(FINAL_NORM, config.hidden)?,
            head: Linear::new(head, None, self.placement)?,
            rope: rope(config.rope),
            local_rope: config.local_rope.map(rope),
        })
    }

    fn block(&self, layer: usize) -> Result<Block, ModelError> {
        let config = self.config;
        let norm = |name: &str| self.norm(&format!("model.layers.{layer}.{name}.weight"), config.hidden);
        let (after_attention, before_mlp) = norm_names(config);
        let post_norm = |name: &str| config.post_norms.then(|| norm(name)).transpose();
        let head_norm = if config.qk_norm { Some(self.head_norm(layer)?) } else { None };
        Ok(Block {
            attention_norm: norm("input_layernorm")?,
            attention: Attention {
                qkv: self.linear(layer, Site::Qkv, config.qkv_bias)?,
                output: self.linear(layer, Site::Output, config.output_bias)?,
                head_norm,
            },
            attention_post_norm: post_norm(after_attention)?,
            mlp_norm: norm(before_mlp)?,
            mlp: Mlp {
                gate_up: self.linear(layer, Site::GateUp, config.mlp_bias)?,
                down: self.linear(layer, Site::Down, config.mlp_bias)?,
                activation: config.activation,
            },
            mlp_post_norm: post_norm("post_feedforward_layernorm")?,
        })
    }

    fn linear(&self, layer: usize, site: Site, has_bias: bool) -> Result<Linear, ModelError> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for projection in site.projections() {
            let (path, (input, output)) = (projection.path(layer), projection.widths(self.config));
            weights.push(self.weight(&format!("{path}.weight"), &[output, input])?);
            if has_bias {
                biases.push(self.weight(&format!("{path}.bias"), &[output])?);
            }
        }
        let join = |mut parts: Vec<Tensor>| if parts.len() > 1 { Some(Tensor::cat(&parts, 0)) } else { parts.pop() };
        let weight = join(weights).unwrap_or_else(|| unreachable!("every site has a projection"));
        Linear::new(weight, join(biases), self.placement)
    }

    fn norm(&self, name: &str, width: usize) -> Result<RmsNorm, ModelError> {
        let stored = self.placed(name, &[width], Kind::Float)?;
        let effective = if self.config.offset_norm { stored + 1.0 } else { stored };
        Ok(RmsNorm::new(&effective, self.config.eps))
    }

    /// Both head norms as one.
    fn head_norm(&self, layer: usize) -> Result<HeadNorm, ModelError> {
        let config = self.config;
        let norm = |name: &str| self.norm(&format!("model.layers.{layer}.self_attn.{name}.weight"), config.head_dim);
        let (query, key) = (norm("q_norm")?, norm("k_norm")?);
        let counts = [config.heads as i64, config.kv_heads as i64];
        Ok(HeadNorm::new(query.weight(), key.weight(), counts, config.eps))
    }

    fn weight(&self, name: &str, shape: &[usize]) -> Result<Tensor, ModelError> {
        self.placed(name, shape, self.placement.kind)
    }

    fn placed(&self, name: &str, shape: &[usize], kind: Kind) -> Result<Tensor, ModelError> {
        let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        let tensor = self.source.tensor(name, &shape)?;
        tensor
            .f_to_device(self.placement.device)
            .and_then(|tensor| tensor.f_to_kind(kind))
            .and_then(|tensor| tensor.f_contiguous())
            .map_err(|error| {
                ModelError::torch(format!("placing tensor `{name}` on {:?}", self.placement.device), &error)
            })
    }
}

/// `value` as the compute type holds it.
fn rounded(value: f64, kind: Kind) -> f64 {
    match kind {
        Kind::BFloat16 => half::bf16::from_f64(value).to_f64(),
        Kind::Half => half::f16::from_f64(value).to_f64(),
        _ => f64::from(value as f32),
    }
}
