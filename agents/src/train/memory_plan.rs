//! What a run will take of memory, reckoned before anything is allocated.
//!
//! An upper estimate by counting: weights and states exactly, activations by the widths that a block keeps for its way back.

use std::fmt;

use serde::Serialize;
use tch::Kind;

use crate::critic::CriticConfig;
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
    /// The base, with packed copies of its matrices where they are kept.
    pub base: u64,
    /// Masters and copies of all adapters and heads of critics.
    pub adapters: u64,
    /// Moments of all optimisers, gradients, and masters of a base that is trained.
    pub optimizers: u64,
    /// Keys and values of generation.
    pub kv: u64,
    /// What a training pass keeps, and the logits of one chunk.
    pub activations: u64,
    /// Rows of a training pass that the plan is for.
    train_rows: usize,
    checkpointing: bool,
}

/// A plan that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the run needs {} and the device has {}; {suggestion}", human(*needed), human(*available))]
pub struct MemoryError {
    /// Bytes the plan adds up to.
    pub needed: u64,
    /// Bytes there are.
    pub available: u64,
    /// What would make it fit, or come nearest.
    pub suggestion: String,
}

impl MemoryPlan {
    /// Reckons.
    pub fn new(request: &PlanRequest<'_>) -> Self {
        let PlanRequest { model, placement, .. } = request;
        let width = placement.kind.elt_size_in_bytes() as u64;
        let parameters = model.parameters() as u64;
        let matrices = parameters - (model.vocab * model.hidden) as u64;
        let copies = if placement.kind == Kind::Float { 4 } else { 4 + width };
        let mut plan = Self {
            base: parameters * width + if placement.packed && !request.full { matrices * width } else { 0 },
            adapters: 0,
            optimizers: if request.full { parameters * (8 + width + if width < 4 { 4 } else { 0 }) } else { 0 },
            kv: request.kv_bytes,
            activations: 0,
            train_rows: request.train_rows,
            checkpointing: request.checkpointing,
        };
        for (lora, trained) in request.adapters {
            let count = LoraAdapter::count_parameters(lora, model) as u64;
            plan.adapters += count * copies;
            plan.optimizers += if *trained { count * 12 } else { 0 };
        }
        for critic in request.critics {
            let widths: Vec<usize> =
                [model.hidden].into_iter().chain(critic.hidden.iter().copied()).chain([1]).collect();
            let head: usize = widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
            let lora = critic.lora.as_ref().map_or(0, |lora| LoraAdapter::count_parameters(lora, model)) as u64;
            let heads = (head * critic.heads) as u64;
            plan.adapters += lora * copies + heads * 4;
            plan.optimizers += (lora + heads) * 12;
        }
        if request.train_rows > 0 {
            plan.activations = activations(model, width, request.train_rows as u64, request.checkpointing);
        }
        plan
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.base + self.adapters + self.optimizers + self.kv + self.activations
    }

    /// Refuses a plan beyond `available` bytes, naming the cheapest change that would make it fit.
    pub fn fit(&self, available: u64) -> Result<(), MemoryError> {
        let needed = self.total();
        if needed <= available {
            return Ok(());
        }
        let excess = needed - available;
        let suggestion = if self.activations > excess && self.train_rows > 1 {
            let rows = (self.activations - excess) * self.train_rows as u64 / self.activations;
            format!("train on at most {rows} tokens a pass instead of {}", self.train_rows)
        } else if self.activations > 0 && !self.checkpointing {
            "turn gradient checkpointing on".to_owned()
        } else if self.kv > excess {
            format!("give the key-value cache at most {}", human(self.kv - excess))
        } else if self.optimizers + self.adapters > excess {
            "train fewer adapters, or adapters of lower rank".to_owned()
        } else {
            "choose a smaller base model or a narrower compute type".to_owned()
        };
        Err(MemoryError { needed, available, suggestion })
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("base", self.base),
            ("adapters", self.adapters),
            ("optimisers", self.optimizers),
            ("key-value cache", self.kv),
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

/// Bytes that a pass over `rows` keeps for its way back.
fn activations(model: &ModelConfig, width: u64, rows: u64, checkpointing: bool) -> u64 {
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
    let logits = marft_torch::CHUNK_ROWS as u64 * model.vocab as u64 * width;
    rows * (block * kept_blocks + inputs + passing + 2 * hidden) * width + logits
}

/// Bytes for people.
fn human(bytes: u64) -> String {
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
        assert_eq!(plan.base, 134_515_008 * 2);
        // Rank 16 on seven projections of 30 layers, masters in f32 and copies in bf16; one of two has moments and gradients.
        assert_eq!(plan.adapters, 2 * 4_884_480 * 6);
        assert_eq!(plan.optimizers, 4_884_480 * 12);
        assert_eq!(plan.activations, 0);
    }

    #[test]
    fn a_plan_that_does_not_fit_says_what_would() {
        let whole = plan(8192, false);
        whole.fit(whole.total()).unwrap();
        let error = whole.fit(2 << 30).unwrap_err().to_string();
        assert!(error.contains("tokens a pass instead of 8192"), "{error}");
        let tight = plan(8192, true);
        assert!(tight.activations < whole.activations / 5);
        let error = plan(0, false).fit(500 << 20).unwrap_err().to_string();
        assert!(error.contains("key-value cache"), "{error}");
        assert!(plan(0, false).fit(1 << 20).unwrap_err().to_string().contains("smaller base"));
    }

    #[test]
    fn the_plan_prints_one_line_a_purpose() {
        let text = plan(1024, false).to_string();
        assert_eq!(text.lines().count(), 6);
        assert!(text.lines().last().unwrap().starts_with("total"));
    }
}
