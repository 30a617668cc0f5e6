//! Loops: which nodes run together in rounds, and what a block puts out.

use std::collections::{BTreeMap, HashSet};

use super::body::Body;
use super::scope::{is_agent, parse_reference};
use super::{Lowering, Rounds};
use crate::check::Code;
use crate::source::Spanned;
use crate::spec::{KeepWord, RoundsSpec};
use crate::team::{BlockId, BlockKind, Keep, NodeId};

/// Most loops inside loops of one team.
const MAX_LEVELS: u32 = 32;

impl Lowering<'_> {
    /// Rounds without what needs names; [`Self::block_ends`] adds that.
    pub(super) fn rounds(&mut self, spec: Option<&Spanned<RoundsSpec>>) -> Rounds {
        let Some(spec) = spec else { return Rounds::once() };
        let max = match &spec.max {
            Some(max) if max.value == 0 => {
                self.report(Code::BadValue, "`max = 0` would never run", max.span, "use at least 1");
                1
            }
            Some(max) => max.value,
            None => {
                let help = "add `max = N`; `until` alone may never come true";
                self.report(Code::UncappedLoop, "the rounds have no cap", spec.span, help);
                1
            }
        };
        let until = self.guard(spec.until.as_ref());
        Rounds { max, until, keep: Keep::Last }
    }

    /// Moves nodes into the loops and routed blocks that claim them.
    pub(super) fn blocks(&mut self, body: &Body<'_>) {
        let mut claimed: BTreeMap<NodeId, String> = BTreeMap::new();
        for (name, agent) in body.spec.agents.iter().flat_map(|agents| agents.iter()) {
            if let Some(routes) = &agent.routes {
                self.router(body, name, routes, &mut claimed);
            }
        }
        for (name, one) in body.spec.loops.iter().flat_map(|loops| loops.iter()) {
            let Some(node) = body.scope.get(name).map(|group| group.first) else { continue };
            let Some(block) = self.team.node(node).inner() else { continue };
            for member in one.nodes.iter().flat_map(|nodes| nodes.iter()) {
                let Some(group) = body.scope.resolve(member, &mut self.problems) else { continue };
                for member_node in group.nodes() {
                    self.claim(body, member_node, block, member, name, &mut claimed);
                }
            }
            if one.nodes.as_ref().is_some_and(|nodes| nodes.is_empty()) {
                self.report(
                    Code::EmptyTeam,
                    format!("the loop `{}` has no members", name.value),
                    name.span,
                    "name at least one node",
                );
            }
        }
        self.break_nesting(body);
    }

    /// Puts `node` (or the routed block around it) into `block`.
    fn claim(
        &mut self,
        body: &Body<'_>,
        node: NodeId,
        block: BlockId,
        written: &Spanned<String>,
        owner: &Spanned<String>,
        claimed: &mut BTreeMap<NodeId, String>,
    ) {
        let routed_into = self.team.node(node).block;
        let inside_route = matches!(self.team.block(routed_into).kind, BlockKind::Routed(_));
        let unit = if inside_route { self.team.block(routed_into).node.unwrap_or(node) } else { node };
        if self.team.node(unit).inner() == Some(block) {
            let message = format!("the loop `{}` contains itself", owner.value);
            self.report(Code::BadCombination, message, written.span, "remove it from `nodes`");
            return;
        }
        if self.team.node(unit).block == block {
            return;
        }
        if let Some(other) = claimed.get(&unit) {
            let message = format!("`{}` belongs to both `{other}` and `{}`", written.value, owner.value);
            self.report(
                Code::BadCombination,
                message,
                written.span,
                "a node belongs to one loop or router; nest the loops instead",
            );
            return;
        }
        if self.team.node(unit).block != body.settings.block {
            return;
        }
        claimed.insert(unit, owner.value.clone());
        self.team.nodes[unit.index()].block = block;
    }

    /// Loops that hold one another in a ring, or too many of them inside one another, are reported and taken apart, so
    /// that everything after may climb blocks.
    fn break_nesting(&mut self, body: &Body<'_>) {
        let nodes = self.team.nodes.len();
        // Levels of blocks around a node; 0 = not known yet.
        let mut levels = vec![0_u32; nodes];
        for start in (body.first.index()..nodes).map(NodeId::from) {
            let mut path = Vec::new();
            let mut walked = HashSet::new();
            let mut node = start;
            let known = loop {
                if levels[node.index()] > 0 {
                    break levels[node.index()];
                }
                if !walked.insert(node) {
                    let message = format!("the loop `{}` contains itself", self.team.node(node).label);
                    let help = "remove it from the `nodes` of the loops inside it";
                    self.report(Code::BadCombination, message, self.team.node(node).span, help);
                    self.team.nodes[node.index()].block = body.settings.block;
                    break 1;
                }
                path.push(node);
                match self.team.block(self.team.node(node).block).node {
                    Some(around) if around >= body.first => node = around,
                    Some(_) | None => break 0,
                }
            };
            for (above, node) in path.iter().rev().enumerate() {
                levels[node.index()] = known + above as u32 + 1;
                if levels[node.index()] > MAX_LEVELS {
                    self.too_deep(body, *node);
                    levels[node.index()] = 1;
                }
            }
        }
    }

    fn too_deep(&mut self, body: &Body<'_>, node: NodeId) {
        self.team.nodes[node.index()].block = body.settings.block;
        if !self.problems.iter().any(|problem| problem.code == Code::TooDeep) {
            let message = format!("loops are nested more than {MAX_LEVELS} deep");
            self.report(Code::TooDeep, message, self.team.node(node).span, "flatten the inner loops");
        }
    }

    /// Outputs and `keep`, which may name any node of the body.
    pub(super) fn block_ends(&mut self, body: &Body<'_>) {
        let block = body.settings.block;
        for name in body.settings.output.iter().flat_map(|output| output.iter()) {
            if let Some(group) = body.scope.resolve(name, &mut self.problems) {
                self.team.blocks[block.index()].output.extend(group.nodes());
            }
        }
        if let Some(rounds) = body.settings.rounds {
            self.keep(body, block, rounds.keep.as_ref(), rounds.by.as_ref());
        }
        for (name, one) in body.spec.loops.iter().flat_map(|loops| loops.iter()) {
            let inner = body.scope.get(name).and_then(|group| self.team.node(group.first).inner());
            if let Some(inner) = inner {
                self.keep(body, inner, one.keep.as_ref(), one.by.as_ref());
            }
        }
    }

    fn keep(
        &mut self,
        body: &Body<'_>,
        block: BlockId,
        keep: Option<&Spanned<KeepWord>>,
        by: Option<&Spanned<String>>,
    ) {
        match (keep.map(|keep| keep.value), by) {
            (Some(KeepWord::Best), Some(by)) => {
                let Some((reference, field)) =
                    parse_reference(by).and_then(|parsed| Some((parsed.name, parsed.field?)))
                else {
                    self.report(
                        Code::BadValue,
                        format!("`{}` is not a score", by.value),
                        by.span,
                        "write `node.field`",
                    );
                    return;
                };
                let name = Spanned::new(reference.to_owned(), by.span);
                if let Some(group) = body.scope.resolve(&name, &mut self.problems) {
                    self.team.blocks[block.index()].rounds.keep =
                        Keep::Best { node: group.first, field: field.to_owned() };
                }
            }
            (Some(KeepWord::Best), None) => {
                let span = keep.map_or(body.settings.span, |keep| keep.span);
                self.report(
                    Code::MissingKey,
                    "`by` is missing",
                    span,
                    "say which score decides: `by = \"node.field\"`",
                );
            }
            (_, Some(by)) => {
                self.report(Code::BadCombination, "`by` has no effect", by.span, "add `keep = \"best\"`");
            }
            (_, None) => {}
        }
    }

    /// Agents that memories employ.
    pub(super) fn curators(&mut self, body: &Body<'_>) {
        for (name, memory) in body.spec.memories.iter().flat_map(|memories| memories.iter()) {
            let Some(curator) = &memory.curator else { continue };
            if let Some(node) = self.employ(body, curator)
                && let Some(id) = self.memory_id(name)
            {
                self.team.memories[id.index()].curator = Some(node);
            }
        }
    }

    /// The single agent behind a name, marked as employed.
    pub(super) fn employ(&mut self, body: &Body<'_>, name: &Spanned<String>) -> Option<NodeId> {
        let group = body.scope.resolve(name, &mut self.problems)?;
        let node = self.team.node(group.first);
        if !is_agent(&node.kind) {
            self.report(Code::WrongType, format!("`{}` is not an agent", name.value), name.span, "name an agent");
            return None;
        }
        if group.count != 1 {
            self.report(
                Code::BadCombination,
                format!("`{}` has replicas", name.value),
                name.span,
                "employ a single agent",
            );
            return None;
        }
        self.team.nodes[group.first.index()].employed = true;
        Some(group.first)
    }
}
