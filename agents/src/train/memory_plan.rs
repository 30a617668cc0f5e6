//! What a run will take of memory, reckoned before anything is allocated.
//!
//! An upper estimate by counting: weights and states exactly, activations by the widths that a block keeps for its way back.

use std::fmt;

use serde::Serialize;
use tch::Kind;

use crate::critic::{CriticConfig, FEATURE_BYTES};
use crate::lora::{LoraAdapter, LoraConfig};
use crate::model::{ModelConfig, Placement};

/// What is to be placed on a device.
#[derive(Debug, Clone)]
pub struct PlanRequest<'a> {
    /// The base.
    pub model: &'a ModelConfig,
    /// How it is placed.
    pub placement: Placement,
    /// Adapters, each with whether it is trained.
    pub adapters: &'a [(LoraConfig, bool)],
    /// Whether the base itself is trained.
    pub full: bool,
    /// Critics.
    pub critics: &'a [CriticConfig],
    /// Bytes for keys and values of generation.
    pub kv_bytes: u64,
    /// Rows of one training pass; 0 plans no training.
    pub train_rows: usize,
    /// Whether blocks are recomputed on the way back.
    pub checkpointing: bool,
}

/// Bytes by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryPlan {
    /// The base.
    pub base: u64,
    /// Copies of the base's matrices in the layout of the processor's kernels.
    pub packed: u64,
    /// Masters and copies of all adapters and heads of critics.
    pub adapters: u64,
    /// Moments of all optimisers, gradients, and masters of a base that is trained.
    pub optimizers: u64,
    /// Keys and values of generation.
    pub kv: u64,
    /// Features of a frozen base that are kept for critics.
    pub features: u64,
    /// What a training pass keeps, and the logits of one chunk.
    pub activations: u64,
    /// Rows of a training pass that the plan is for.
    pub(super) train_rows: usize,
    /// What of the activations does not depend on the rows.
    pub(super) fixed: u64,
    /// What the activations are where blocks are recomputed.
    pub(super) checkpointed: u64,
    /// Whether the base itself is trained.
    pub(super) full: bool,
    /// Whether passes run in a type that could be narrower.
    pub(super) wide: bool,
}

impl MemoryPlan {
    /// Reckons.
    pub fn new(request: &PlanRequest<'_>) -> Self {
        let PlanRequest { model, placement, .. } = request;
        let kind = placement.kind;
        let width = kind.elt_size_in_bytes() as u64;
        let parameters = model.parameters() as u64;
        let packs = placement.packed && placement.on_cpu() && !request.full;
        // Of a narrow base also masters, and sums of gradients, are kept in f32.
        let full = parameters * (8 + width + if width < 4 { 8 } else { 0 });
        let mut plan = Self {
            base: model.weight_bytes(kind),
            packed: if packs { model.packed_bytes(kind) } else { 0 },
            adapters: 0,
            optimizers: if request.full { full } else { 0 },
            kv: request.kv_bytes,
            features: 0,
            activations: 0,
            train_rows: request.train_rows,
            fixed: 0,
            checkpointed: 0,
            full: request.full,
            wide: kind == Kind::Float,
        };
        for (lora, trained) in request.adapters {
            plan.adapters += LoraAdapter::count_bytes(lora, model, kind);
            plan.optimizers += if *trained { LoraAdapter::count_parameters(lora, model) as u64 * 12 } else { 0 };
        }
        for critic in request.critics {
            let widths: Vec<usize> =
                [model.hidden].into_iter().chain(critic.hidden.iter().copied()).chain([1]).collect();
            let head: usize = widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
            let lora = critic.lora.as_ref();
            let values = lora.map_or(0, |lora| LoraAdapter::count_parameters(lora, model)) as u64;
            let heads = (head * critic.heads) as u64;
            plan.adapters += lora.map_or(0, |lora| LoraAdapter::count_bytes(lora, model, kind)) + heads * 4;
            plan.optimizers += (values + heads) * 12;
        }
        if request.train_rows > 0 {
            let rows = request.train_rows as u64;
            // A critic with an adapter runs a pass of its own beside that of the policies, and keeps all of it.
            let shaping = request.critics.iter().any(|critic| critic.lora.is_some());
            let beside = if shaping { row_bytes(model, width, false) } else { 0 };
            plan.fixed = marft_torch::CHUNK_ROWS as u64 * model.vocab as u64 * width;
            let with = |checkpointing| rows * (row_bytes(model, width, checkpointing) + beside) + plan.fixed;
            (plan.activations, plan.checkpointed) = (with(request.checkpointing), with(true));
            let keeps = request.critics.iter().any(|critic| critic.lora.is_none());
            plan.features = if keeps { FEATURE_BYTES } else { 0 };
        }
        plan
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.base + self.packed + self.adapters + self.optimizers + self.kv + self.features + self.activations
    }

    /// One line: the total, and what there is where that is known.
    pub fn summary(&self, available: Option<u64>) -> String {
        let there = available.map_or(String::new(), |bytes| format!(" of the {} available", human(bytes)));
        format!("takes at most {}{there}", human(self.total()))
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("base", self.base),
            ("packed copies", self.packed),
            ("adapters", self.adapters),
            ("optimisers", self.optimizers),
            ("key-value cache", self.kv),
            ("critic features", self.features),
            ("activations", self.activations),
            ("total", self.total()),
        ];
        for (index, (name, bytes)) in parts.into_iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{name:<16}{:>10}", human(bytes))?;
        }
        Ok(())
    }
}

/// Bytes that a pass keeps for its way back, for each of its rows.
fn row_bytes(model: &ModelConfig, width: u64, checkpointing: bool) -> u64 {
    let (hidden, ffn) = (model.hidden as u64, model.ffn as u64);
    let heads = (model.heads * model.head_dim) as u64;
    let kv = (model.kv_heads * model.head_dim) as u64;
    // Two residual sums and two normed copies; q, k, v and the mix; gate and up and their product; a head norm's input.
    let head_norm = if model.qk_norm { 2 * (heads + kv) } else { 0 };
    let post_norms = if model.post_norms { 2 * hidden } else { 0 };
    let block = 4 * hidden + 2 * heads + 2 * kv + head_norm + post_norms + 3 * ffn;
    let kept_blocks = if checkpointing { 1 } else { model.layers as u64 };
    let inputs = if checkpointing { model.layers as u64 * hidden } else { 0 };
    // While a block goes back, the gradients of its widest parts stand beside what it kept.
    let passing = 4 * ffn + 3 * hidden;
    (block * kept_blocks + inputs + passing + 2 * hidden) * width
}

/// Bytes for people.
pub(super) fn human(bytes: u64) -> String {
    let (value, unit) = match bytes {
        0..1024 => return format!("{bytes} B"),
        1024..1_048_576 => (bytes as f64 / 1024.0, "KiB"),
        1_048_576..1_073_741_824 => (bytes as f64 / 1_048_576.0, "MiB"),
        _ => (bytes as f64 / 1_073_741_824.0, "GiB"),
    };
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::shapes;

    fn plan(rows: usize, checkpointing: bool) -> MemoryPlan {
        let model = shapes::named("smollm2-135m").unwrap();
        let adapters = [(LoraConfig::default(), true), (LoraConfig::default(), false)];
        MemoryPlan::new(&PlanRequest {
            model: &model,
            placement: Placement { packed: false, ..Placement::FAST },
            adapters: &adapters,
            full: false,
            critics: &[],
            kv_bytes: 1 << 28,
            train_rows: rows,
            checkpointing,
        })
    }

    #[test]
    fn weights_and_states_are_counted_exactly() {
        let plan = plan(0, false);
        // 61 norms of 576 values are f32
        assert_eq!(plan.base, 134_515_008 * 2 + 61 * 576 * 2);
        // Rank 16 on seven projections of 30 layers, masters in f32 and copies in bf16; one of two has moments and gradients.
        assert_eq!(plan.adapters, 2 * 4_884_480 * 6);
        assert_eq!(plan.optimizers, 4_884_480 * 12);
        assert_eq!(plan.activations, 0);
    }

    #[test]
    fn recomputed_activations_are_few() {
        let (whole, tight) = (plan(8192, false), plan(8192, true));
        assert!(tight.activations < whole.activations / 5);
        assert_eq!((whole.checkpointed, tight.checkpointed), (tight.activations, tight.activations));
    }

    #[test]
    fn packed_copies_and_features_are_counted_where_they_are_kept() {
        let model = shapes::named("llama").unwrap();
        let critic = |lora| [CriticConfig { hidden: vec![8], lora, ..CriticConfig::default() }];
        let (frozen, shaping) = (critic(None), critic(Some(LoraConfig::default())));
        let base = PlanRequest {
            model: &model,
            placement: Placement::FAST,
            adapters: &[],
            full: false,
            critics: &[],
            kv_bytes: 0,
            train_rows: 64,
            checkpointing: true,
        };
        let plain = MemoryPlan::new(&base);
        assert_eq!((plain.packed, plain.features), (model.packed_bytes(Kind::BFloat16), 0));
        let device = Placement { device: tch::Device::Cuda(0), ..Placement::FAST };
        assert_eq!(MemoryPlan::new(&PlanRequest { placement: device, ..base.clone() }).packed, 0);
        assert_eq!(MemoryPlan::new(&PlanRequest { full: true, ..base.clone() }).packed, 0);
        let with = |critics| MemoryPlan::new(&PlanRequest { critics, ..base.clone() });
        assert_eq!((with(&frozen).features, with(&frozen).activations), (256 << 20, plain.activations));
        assert_eq!(with(&shaping).features, 0);
        assert!(with(&shaping).activations > plain.activations, "its own pass is kept beside the other");
    }

    #[test]
    fn the_plan_prints_one_line_a_purpose() {
        let text = plan(1024, false).to_string();
        assert_eq!(text.lines().count(), 8);
        assert!(text.lines().last().unwrap().starts_with("total"));
    }
}
