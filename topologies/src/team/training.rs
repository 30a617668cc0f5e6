//! Where rewards attach and how credit flows.

use super::NodeId;
use crate::spec::{AttachPoint, CreditGroup, CreditRule};

/// A named reward term.
#[derive(Debug, Clone, PartialEq)]
pub struct Reward {
    /// Its name; the run file says how it is computed.
    pub name: String,
    /// Where on the trajectory it lands.
    pub at: AttachPoint,
    /// Agents it is paid to; empty = the whole team.
    pub of: Vec<NodeId>,
    /// Factor in the sum.
    pub weight: f64,
}

/// How reward becomes credit.
#[derive(Debug, Clone, PartialEq)]
pub struct Credit {
    /// Who shares in a team reward.
    pub rule: CreditRule,
    /// What is compared with what in group-relative advantages.
    pub group: CreditGroup,
}
