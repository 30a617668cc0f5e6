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

    /// Whose defects to reproduce.
    Compat {
        /// Nobody's.
        None,
        /// Those of MARFT's first release, so that parity can be shown.
        MarftV1,
    }
}
