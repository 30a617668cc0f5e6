//! `[task]` and `[[reward]]` as typed.

use marft_topologies::source::Spanned;
use marft_topologies::{keywords, table};

use super::{EnvironmentFile, OneOrMany};

table! {
    /// The tasks and how they are shown.
    TaskFile {
        /// Data files: JSONL, JSON, CSV, TSV or Parquet.
        files: OneOrMany;
        /// Data files with weights, in place of `files`.
        sources: Vec<Spanned<SourceFile>>;
        /// Which rows are held out; none are when absent, and evaluation is on the rows that are trained on.
        split: SplitFile;
        /// Columns in which no text may stand on both sides of the split.
        audit: OneOrMany;
        /// Shares of easy and hard tasks, in place of shares by source; all rows alike when absent.
        mixture: MixtureFile;
        /// Rising difficulty.
        curriculum: CurriculumFile;
        /// What shows the tasks; the column `question` to every agent when absent.
        environment: EnvironmentFile;
    }
}

table! {
    /// A data file.
    SourceFile {
        /// The file.
        file: String, required;
        /// Its share of the tasks drawn, relative to the others; all rows alike when no source has one.
        weight: f64;
    }
}

table! {
    /// Which rows are held out: by `column` or by `hash`.
    SplitFile {
        /// The column that names the split of each row: `train`, or `test` and its like.
        column: String;
        /// The hash of a column decides.
        hash: HashFile;
    }
}

table! {
    /// All rows with the same value fall on the same side.
    HashFile {
        /// The column.
        by: String, required;
        /// Share of the values that is held out; 0.2 when absent.
        held_out: f64;
    }
}

table! {
    /// Bands of a numeric column, each drawn as often as its weight says.
    MixtureFile {
        /// The numeric column.
        by: String, required;
        /// Upper bounds of the bands but the last, rising.
        bounds: Vec<Spanned<f64>>, required;
        /// How often each band is drawn, relative to the others: one more than there are bounds.
        weights: Vec<Spanned<f64>>, required;
    }
}

table! {
    /// Levels of rising difficulty.
    CurriculumFile {
        /// The numeric column that says how hard a task is.
        by: String, required;
        /// Upper bounds of the levels but the last, rising.
        bounds: Vec<Spanned<f64>>, required;
        /// Mean reward at which the next level opens; 0.8 when absent.
        promote_at: f64;
        /// Episodes of which the mean is taken; 64 when absent.
        window: u32;
    }
}

/// Tables whose other keys are settings of their kind.
macro_rules! open_table {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $ty:ty $(, $required:ident)?;)* }) => {
        table! { $(#[$meta])* $name { $($(#[$doc])* $field: $ty $(, $required)?;)* } }

        impl $name {
            /// The keys that are not settings of the kind.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),*];
        }
    };
}

open_table! {
    /// The environment.
    EnvironmentKeys {
        /// `question`, or a kind that a program registered; `question` when absent.
        kind: String;
    }
}

open_table! {
    /// One reward term.
    RewardKeys {
        /// The name it is logged under; its kind when absent.
        name: String;
        /// `exact`, `contains`, `token_f1`, `format`, `numeric`, `maths`, `label_set`, `length`, or a kind that a program
        /// registered.
        kind: String, required;
        /// Its factor in the sum; 1 when absent.
        weight: f64;
        /// What must hold for it to count.
        gate: GateFile;
        /// The node, or `node.field`, whose last words it judges; the team's output when absent.
        of: String;
        /// The column with the gold answers; `answer` when absent.
        gold: String;
        /// Where it lands; the episode when absent.
        attach: AttachWord;
    }
}

open_table! {
    /// One tool.
    ToolKeys {
        /// What agents and functions of the team call it by; its kind when absent.
        name: String;
        /// `calculator`, `search`, `program`, or a kind that a program registered.
        kind: String, required;
        /// Calls at a time, more of them wait their turn; 8 when absent.
        concurrency: u64;
        /// Seconds that one call may take, waiting apart; 60 when absent.
        seconds: f64;
    }
}

table! {
    /// A term counts only while the raw score of an earlier one is above a bound.
    GateFile {
        /// The name of the earlier term.
        term: String, required;
        /// The bound; 0 when absent.
        above: f64;
    }
}

keywords! {
    /// Where a reward lands.
    AttachWord {
        /// On the last token of the turn that is judged.
        Turn = "turn",
        /// On the agent that is judged, at the end of its last turn.
        Agent = "agent",
        /// On the team, at the end of the step.
        Team = "team",
        /// On the team, at the end of the episode.
        Episode = "episode",
    }
}
