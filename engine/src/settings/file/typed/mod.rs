//! What is typed: the run file as written, every value with its place. Nothing here knows what a run means.
//!
//! Every key is declared once, here; the reader, the JSON Schema and the nearest names of unknown keys all come from it.

mod model;
mod names;
mod rest;
mod serve;
mod task;
mod train;

use marft_topologies::source::Spanned;
use marft_topologies::spec::Named;
use marft_topologies::table;

pub use model::{CriticFile, DtypeWord, LoraFile, ModelFile, SharingWord};
pub use names::OneOrMany;
pub use rest::{Algorithms, EnvironmentFile, RewardFile, Settings, ToolFile};
pub use serve::{ServeFile, ServerWord};
pub use task::{
    AttachWord, CurriculumFile, EnvironmentKeys, GateFile, HashFile, MixtureFile, RewardKeys, SourceFile, SplitFile,
    TaskFile, ToolKeys,
};
pub use train::{
    BudgetFile, CheckpointFile, DecayWord, EarlyStopFile, ErrorMaskWord, EvalFile, LogFile, LongContextWord,
    RolloutFile, StageFile, StageWord, TrainFile,
};

table! {
    /// A run file.
    RunFile {
        /// Names the run and its folder; the name of the file's folder when absent.
        name: String;
        /// Root of every random number; 0 when absent.
        seed: u64;
        /// Whether results are the same bits whatever shares a batch, which replay and bit-exact resumption need; true on
        /// the CPU and false on CUDA when absent.
        deterministic: bool;
        /// The team: a file beside this one, or `catalog:NAME`; `team.toml` when absent.
        team: String;
        /// The base model, adapters and critic.
        model: ModelFile;
        /// The tasks and how they are shown.
        task: TaskFile, required;
        /// The reward, term by term.
        reward: Vec<Spanned<RewardFile>>;
        /// What the team may call.
        tools: Vec<Spanned<ToolFile>>;
        /// The algorithm: `preset`, `defaults`, any override of theirs, and `agents` with overrides for single agents;
        /// `preset = "marft-t"` when absent.
        algorithm: Algorithms;
        /// Updates.
        train: TrainFile;
        /// Rollouts.
        rollout: RolloutFile;
        /// What happens, in order; one stage `rl` when absent.
        stages: Vec<Spanned<StageFile>>;
        /// Evaluation on held-out tasks.
        eval: EvalFile;
        /// When the run is saved.
        checkpoint: CheckpointFile;
        /// Running servers that get the adapters of policies after every checkpoint, by policy.
        serve: Named<ServeFile>;
        /// What is written down.
        log: LogFile;
    }
}
