//! `[train]`, `[rollout]`, `[[stages]]`, `[eval]`, `[checkpoint]` and `[log]` as typed.

use marft_topologies::{keywords, table};

use super::OneOrMany;

table! {
    /// Updates.
    TrainFile {
        /// Steps of the stages `rl` and `rft` that do not state their own; 100 when absent.
        steps: u64;
        /// Decay of AdamW's first moment; 0.9 when absent.
        beta1: f64;
        /// Decay of AdamW's second moment; 0.999 when absent.
        beta2: f64;
        /// What the learning rate does after the warm-up; constant when absent.
        decay: DecayWord;
        /// Updates over which the learning rate rises from 0; 0 when absent.
        warmup: u64;
        /// Most tokens of one training pass; 4096 on the CPU and 16384 on CUDA when absent.
        batch_tokens: u64;
        /// Recompute each block on the way back instead of keeping its activations; false when absent.
        checkpointing: bool;
        /// Updates in a row that may be dropped for numbers that are not finite before the run gives up; 3 when absent.
        max_bad_updates: u32;
        /// When the run ends before its steps are done.
        budget: BudgetFile;
        /// When the run ends for want of progress.
        early_stop: EarlyStopFile;
    }
}

table! {
    /// Limits of a run; the first that is reached ends it.
    BudgetFile {
        /// Steps of all stages together.
        steps: u64;
        /// Training episodes.
        episodes: u64;
        /// Tokens sampled in training.
        tokens: u64;
        /// Wall-clock seconds, those of earlier processes of the run included.
        seconds: f64;
    }
}

table! {
    /// Ends a run whose evaluations no longer improve.
    EarlyStopFile {
        /// Evaluations without a new best.
        patience: u32, required;
        /// How much better a best must be; 0 when absent.
        min_delta: f64;
    }
}

table! {
    /// Rollouts.
    RolloutFile {
        /// Tasks a step, each rolled out as often as the algorithm's group is large; 16 when absent.
        tasks: u64;
        /// Most episodes open at a time; 256 when absent.
        concurrency: u64;
        /// How often a question is asked again after a transient fault; 2 when absent.
        retries: u32;
        /// Take the old log-probabilities from a pass of the trainer instead of from the sampler; false when absent.
        recompute_logprobs: bool;
        /// What happens when a conversation outgrows the context; refuse when absent.
        long_context: LongContextWord;
        /// Seconds that a turn may take; no limit when absent.
        turn_seconds: f64;
    }
}

table! {
    /// A stage.
    StageFile {
        /// What it does.
        kind: StageWord, required;
        /// rl and rft: rollouts; `train.steps` when absent.
        steps: u64;
        /// rl: agents that do not learn in this stage.
        frozen: OneOrMany;
        /// sft: JSON lines of demonstrations, `{"id": TASK, "says": {AGENT: TEXT or [TEXT, …]}}`; required there.
        demonstrations: String;
        /// sft: use this many of them, drawn by the seed; all when absent.
        limit: u64;
        /// sft and rft: passes; 3 for sft and 1 for rft when absent.
        epochs: u32;
        /// sft: demonstrations an update; 16 when absent.
        batch: u64;
        /// sft: a regular expression; what was said before a result or an observation that it matches is an error; none when
        /// absent.
        errors: String;
        /// sft: what of an error is not learnt; turn when absent.
        error_mask: ErrorMaskWord;
        /// sft and rft: learning rate; 1e-4 when absent.
        learning_rate: f64;
        /// rft: episodes a task; 8 when absent.
        samples: u32;
        /// rft: least total reward of an episode that is learnt from; 0.5 when absent.
        keep_above: f64;
        /// rft: most episodes kept a task, the best first; 1 when absent.
        keep: u32;
    }
}

table! {
    /// Evaluation on held-out tasks.
    EvalFile {
        /// Steps between two evaluations; 0, at the end alone, when absent.
        every: u64;
        /// Also before the first step; true when absent.
        before: bool;
        /// Most held-out tasks, drawn by the seed; all when absent.
        tasks: u64;
        /// Episodes a task; 1 when absent.
        samples: u32;
        /// Temperature of all agents, 0 is greedy; the team's own when absent.
        temperature: f64;
        /// The column by which intervals are clustered; the task when absent.
        cluster: String;
        /// The reward term that is the score; the total when absent.
        metric: String;
    }
}

table! {
    /// When the run is saved.
    CheckpointFile {
        /// Steps between two checkpoints, 0 saves the last step alone; 10 when absent.
        every: u64;
        /// How many are kept, the newest and the best apart, 0 keeps all; 3 when absent.
        keep: u64;
    }
}

table! {
    /// What is written down.
    LogFile {
        /// Keep the episodes; true when absent.
        episodes: bool;
        /// Write TensorBoard event files; true when absent.
        tensorboard: bool;
    }
}

keywords! {
    /// What a stage does.
    StageWord {
        /// Supervised fine-tuning on demonstrations.
        Sft = "sft",
        /// Reinforcement learning.
        Rl = "rl",
        /// Supervised fine-tuning on the team's own best episodes.
        Rft = "rft",
    }
}

keywords! {
    /// What of an error is not learnt.
    ErrorMaskWord {
        /// All that was said.
        Turn = "turn",
        /// From the first call of a tool on; all where none is called.
        Action = "action",
        /// Nothing: errors are learnt.
        Off = "off",
    }
}

keywords! {
    /// What the learning rate does after the warm-up.
    DecayWord {
        /// It stays.
        Constant = "constant",
        /// It stays: TRL's name where there is a warm-up.
        ConstantWithWarmup = "constant_with_warmup",
        /// It falls in a straight line to zero.
        Linear = "linear",
        /// It falls along half a cosine to zero.
        Cosine = "cosine",
    }
}

keywords! {
    /// What happens when a conversation outgrows the context.
    LongContextWord {
        /// The turn is a fault.
        Refuse = "refuse",
        /// The oldest turns are left out whole, in a new segment.
        TruncateOldest = "truncate-oldest",
        /// The agent sums its earlier turns up first, in a new segment.
        Summarise = "summarise",
    }
}
