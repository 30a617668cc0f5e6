//! The choices that a setting may name, spelled in kebab-case; other spellings are in [`super::names`].

use serde::{Deserialize, Serialize};

macro_rules! choices {
    ($($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident),+ $(,)? })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }
    )+};
}

choices! {
    /// Whose values a preset takes.
    Defaults {
        /// Ours.
        Marft,
        /// Those of Hugging Face TRL.
        Trl,
        /// Those of verl.
        Verl,
    }

    /// How advantages are estimated; each is a module of [`advantage`](crate::advantage).
    Estimator {
        /// [`gae`](crate::advantage::gae).
        Gae,
        /// [`joint`](crate::advantage::joint).
        Joint,
        /// [`monte_carlo`](crate::advantage::monte_carlo).
        MonteCarlo,
        /// [`grpo`](crate::advantage::grpo).
        Grpo,
        /// [`dr_grpo`](crate::advantage::dr_grpo).
        DrGrpo,
        /// [`rloo`](crate::advantage::rloo).
        Rloo,
        /// [`reinforce_pp`](crate::advantage::reinforce_pp).
        ReinforcePp,
        /// [`reinforce_pp`](crate::advantage::reinforce_pp) with the group's mean as baseline.
        ReinforcePpBaseline,
        /// [`dr_mas`](crate::advantage::dr_mas).
        DrMas,
        /// [`gigpo`](crate::advantage::gigpo).
        Gigpo,
        /// [`at_grpo`](crate::advantage::at_grpo).
        AtGrpo,
        /// [`magrpo`](crate::advantage::magrpo).
        Magrpo,
        /// [`rae`](crate::advantage::rae).
        Rae,
    }

    /// What an action is.
    Level {
        /// Every token.
        Token,
        /// Every turn: one log-probability, one value, one advantage.
        Action,
    }

    /// Which turns of an episode are linked to one another.
    Linkage {
        /// All turns of the team, in the order in which they were taken.
        Team,
        /// The turns of each agent alone.
        Agent,
    }

    /// How the reward of an episode is paid out; each is a module of [`credit`](crate::credit).
    CreditRule {
        /// [`last_agent`](crate::credit::last_agent).
        LastAgent,
        /// [`step_discount`](crate::credit::step_discount).
        StepDiscount,
        /// [`team_shared`](crate::credit::team_shared).
        TeamShared,
        /// [`own_team_mix`](crate::credit::own_team_mix).
        OwnTeamMix,
        /// [`per_step`](crate::credit::per_step).
        PerStep,
        /// [`difference`](crate::credit::difference): needs replays.
        Difference,
        /// [`leave_one_out`](crate::credit::leave_one_out): needs replays.
        LeaveOneOut,
        /// [`rollout_value`](crate::credit::rollout_value): needs roll-outs of partial transcripts.
        RolloutValue,
    }

    /// The policy loss.
    LossKind {
        /// The clipped surrogate; with `dual_clip` also bounded for bad actions.
        PpoClip,
        /// The same with one ratio per sequence.
        Gspo,
        /// Clipped weights.
        Cispo,
        /// No ratio.
        Reinforce,
        /// The clipped surrogate against a proximal policy, weighted towards the behaviour policy.
        Decoupled,
    }

    /// How tokens become one number, as verl spells it.
    AggregationName {
        /// Mean over all tokens.
        TokenMean,
        /// Sum by sequence, mean over sequences.
        SeqMeanTokenSum,
        /// Mean by sequence, mean over sequences.
        SeqMeanTokenMean,
        /// Sum by sequence divided by `max_completion_length`, mean over sequences.
        SeqMeanTokenSumNorm,
    }

    /// The error of the critic.
    ValueError {
        /// Half the square.
        Mse,
        /// Half the square up to `huber_delta`, linear beyond it.
        Huber,
    }

    /// Which agents learn when; see [`schedule`](crate::order::schedule).
    ScheduleKind {
        /// All at once.
        Concurrent,
        /// One at a time.
        Interval,
        /// One after the other, in a fixed order.
        Sequential,
        /// One after the other, in a new order at every update.
        SequentialRandom,
    }

    /// Where advantages weigh more; each is a module of [`rescale`](crate::advantage::rescale).
    Rescale {
        /// Nowhere.
        None,
        /// [`pass_rate`](crate::advantage::rescale::pass_rate): in groups that are half solved.
        PassRate,
        /// [`entropy`](mod@crate::advantage::rescale::entropy): in roll-outs in which the policies hesitated.
        Entropy,
    }

    /// How the log-probabilities of an action's tokens become one; see
    /// [`action_logprob`](mod@crate::action_logprob).
    ActionNorm {
        /// Their sum.
        Sum,
        /// Their mean over the tokens in the loss.
        Token,
        /// Their sum by the number of words.
        Word,
    }

    /// Whose defects to reproduce.
    Compat {
        /// Nobody's.
        None,
        /// Those of MARFT's first release, so that parity can be shown.
        ///
        /// Reproduced, by the numbers of our dossier on that program: the bootstrap that is cut inside the first step after a
        /// reset (B1), Huber's error that is 0 far below (B4), a genuine advantage of 0 that is taken for a missing one (B17),
        /// chunks of a mini-batch that weigh by rows instead of tokens (B18; the chunks are those of `batch_tokens`), an end by
        /// truncation without a bootstrap (B21); in the presets `marft-v1` and `marft-v1-token` also the gates on divergence
        /// (B10) and the different agents that begin (B11). Besides: advantages are normalised mini-batch by mini-batch over
        /// all agents, rows that fill no mini-batch are dropped, the rows of a joint action stay together, the critic learns
        /// from every agent whoever's turn it is, and warm-up and interval count the batch at hand.
        ///
        /// Not reproduced, for they are faults of a program and not of an update: stale buffers, crashes, idle passes, flags
        /// that are not read, resumption, evaluation, seeds, half precision, logs, prompts and devices (B2, B3, B6, B9, B12 to
        /// B16, B19, B20, B22), ratios against another distribution than was sampled (B5), contexts that are cut for scoring
        /// alone (B7), and bootstraps from a text without profile (B8).
        MarftV1,
    }
}
