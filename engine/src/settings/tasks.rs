//! Where tasks come from, who sees what of them, and how episodes are judged.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::reward::{Attach, Gate};
use crate::task::{Bands, Curriculum, SplitRule};
use crate::tool::ToolLimits;

/// Rows and the environment that shows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSettings {
    /// The files, with their weights in the mixture.
    pub sources: Vec<TaskSource>,
    /// Which rows are held out; `None` trains and evaluates on the same rows, which is said in the log.
    pub split: Option<SplitRule>,
    /// Columns in which no text may stand on both sides of the split.
    pub audit: Vec<String>,
    /// Shares by a numeric column, in place of shares by source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Bands>,
    /// Rising difficulty.
    pub curriculum: Option<Curriculum>,
    /// What shows them.
    pub environment: EnvironmentSettings,
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSource {
    /// JSONL, JSON, CSV, TSV or Parquet.
    pub file: PathBuf,
    /// Its share of the tasks drawn, relative to the others; all rows alike where no source has one.
    pub weight: Option<f64>,
}

/// An environment by its kind: `question`, or one that a program registered.
pub type EnvironmentSettings = Kind;

/// A tool that the team may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolSettings {
    /// What the team calls it by.
    pub name: String,
    /// What it is: `calculator`, `search`, `program`, or one that a program registered.
    pub tool: Kind,
    /// How it may be used.
    pub limits: ToolLimits,
}

/// One reward term.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardSettings {
    /// The name it is logged under.
    pub name: String,
    /// What it computes: `exact`, `contains`, `token_f1`, `format`, `numeric`, `maths`, `label_set`, `length`, `code`, or one that
    /// a program registered.
    pub term: Kind,
    /// Its factor in the sum.
    pub weight: f64,
    /// What must hold for it to count.
    pub gate: Option<Gate>,
    /// The agent, or `agent.field`, whose text it judges; the team's answer where absent.
    pub of: Option<String>,
    /// The column with the gold answers.
    pub gold: String,
    /// Where its reward lands.
    pub attach: Attach,
}
