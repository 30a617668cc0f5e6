//! Where rewards attach and how credit flows.

use super::{NodeId, NodeKind, Team};
use crate::source::Spanned;
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

/// How reward becomes credit, where the file says so.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Credit {
    /// Who shares in a team reward.
    pub rule: Option<Spanned<CreditRule>>,
    /// What is compared with what in group-relative advantages.
    pub group: Option<Spanned<CreditGroup>>,
}

impl Team {
    /// Whether each node is one that a team reward is paid to: all of them, unless the file's rule of credit says otherwise.
    pub fn sharers(&self) -> Vec<bool> {
        let speakers = self.block(Self::ROOT).output.clone();
        match self.credit().rule.as_deref() {
            Some(CreditRule::Own) => self.reached(speakers, false),
            Some(CreditRule::Path) => {
                let graded = self.agents().filter(|(_, agent)| agent.graded).map(|(id, _)| id);
                self.reached(speakers.into_iter().chain(graded).collect(), true)
            }
            _ => vec![true; self.nodes().len()],
        }
    }

    /// The nodes of `pending` with all that is inside them; with all `upstream` of them too, if so.
    pub(crate) fn reached(&self, mut pending: Vec<NodeId>, upstream: bool) -> Vec<bool> {
        let mut reached = vec![false; self.nodes().len()];
        while let Some(id) = pending.pop() {
            if std::mem::replace(&mut reached[id.index()], true) {
                continue;
            }
            if let NodeKind::Block(block) = self.node(id).kind {
                let block = self.block(block);
                pending.extend(if upstream { &block.output } else { &block.members });
            }
            if upstream {
                pending.extend(self.incoming(id).iter().map(|edge| self.edge(*edge).from));
                // Inside a team, its input is upstream of every member.
                pending.extend(self.block(self.node(id).block).node);
            }
        }
        reached
    }
}
