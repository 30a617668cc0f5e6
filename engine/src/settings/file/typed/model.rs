//! `[model]` as typed.

use marft_topologies::source::Spanned;
use marft_topologies::{keywords, table};

use super::OneOrMany;

table! {
    /// The base model, the adapters on it, and the critic.
    ModelFile {
        /// An alias, a folder, a `.gguf` file or `random:…`; `smollm2-135m-instruct` when absent.
        base: String;
        /// The compute type; bf16 when absent.
        dtype: DtypeWord;
        /// `cpu`, `cuda`, `cuda:N` or `auto`, the first CUDA device where there is one; `cpu` when absent.
        device: String;
        /// On the CPU: keep linear weights a second time in the layout of its matrix kernels, for faster generation at twice
        /// the memory; true on the CPU when absent, unless `weights = "full"`.
        packed: bool;
        /// Threads of the CPU's kernels; all cores when absent.
        threads: u32;
        /// Memory of the key-value cache in MiB; 2048 when absent.
        cache_mib: u64;
        /// The adapters.
        lora: LoraFile;
        /// Which agents share weights; `team` when absent.
        weights: SharingWord;
        /// Agents that do not learn.
        frozen: OneOrMany;
        /// The critic, for estimators that need one.
        critic: CriticFile;
    }
}

table! {
    /// An adapter.
    LoraFile {
        /// Rank of the factors; 16 when absent.
        rank: u32;
        /// The low-rank product is multiplied by alpha / rank; twice the rank when absent.
        alpha: f64;
        /// Multiply by alpha / √rank instead; false when absent.
        rslora: bool;
        /// Probability with which an input is zeroed in training; 0 when absent.
        dropout: f64;
        /// `all-linear`, or names of projections such as `q_proj`; `all-linear` when absent.
        targets: OneOrMany;
    }
}

table! {
    /// The critic.
    CriticFile {
        /// Widths of the hidden layers of a head; [1024, 512] when absent.
        hidden: Vec<Spanned<u32>>;
        /// A head for every agent instead of one for all; false when absent.
        per_agent: bool;
        /// An adapter that shapes the features; the critic reads the frozen base when absent.
        lora: LoraFile;
    }
}

keywords! {
    /// A compute type.
    DtypeWord {
        /// 32 bits.
        F32 = "f32",
        /// 32 bits.
        Float32 = "float32",
        /// 16 bits with the exponent of f32.
        Bf16 = "bf16",
        /// 16 bits with the exponent of f32.
        Bfloat16 = "bfloat16",
    }
}

keywords! {
    /// Which agents share weights.
    SharingWord {
        /// As the team file says.
        Team = "team",
        /// One adapter for all.
        Shared = "shared",
        /// An adapter for every agent.
        PerAgent = "per-agent",
        /// No adapters: the base learns.
        Full = "full",
    }
}
