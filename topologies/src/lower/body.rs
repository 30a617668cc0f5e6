//! One team: declares its nodes, then its blocks, then what refers to them.

use super::scope::{Group, Scope, name_fault};
use super::{Lowering, unlimited};
use crate::check::Code;
use crate::source::{Span, Spanned};
use crate::spec::{BodySpec, NodeSpec, RoundsSpec, SamplingSpec, SubteamSpec, TeamSpec};
use crate::team::{Block, BlockId, BlockKind, Join, Node, NodeId, NodeKind, Replica, Rounds};

/// What surrounds a body.
pub(super) struct Settings<'s> {
    pub(super) block: BlockId,
    /// Of full names: empty for the team of the file, `outer/` inside.
    pub(super) prefix: String,
    pub(super) rounds: Option<&'s RoundsSpec>,
    pub(super) output: Option<&'s Spanned<Vec<Spanned<String>>>>,
    pub(super) sampling: Option<&'s SamplingSpec>,
    pub(super) defaults: &'s SamplingSpec,
    /// The whole file, for the team of the file only: rewards and credit.
    pub(super) top: Option<&'s TeamSpec>,
    pub(super) span: Span,
}

/// A body being lowered.
pub(super) struct Body<'s> {
    pub(super) spec: &'s BodySpec,
    pub(super) settings: &'s Settings<'s>,
    pub(super) scope: Scope,
    pub(super) sampling: SamplingSpec,
    /// Ids from here on belong to this body or to teams inside it.
    pub(super) first: NodeId,
}

impl<'s> Body<'s> {
    /// Every declared agent, function and team with what all nodes have.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&'s Spanned<String>, &'s NodeSpec)> + use<'s> {
        let spec = self.spec;
        let agents = spec.agents.iter().flat_map(|agents| agents.iter().map(|(name, agent)| (name, &agent.node)));
        let functions = spec.functions.iter().flat_map(|all| all.iter().map(|(name, one)| (name, &one.node)));
        let teams = spec.teams.iter().flat_map(|teams| teams.iter().map(|(name, team)| (name, &team.node)));
        agents.chain(functions).chain(teams)
    }
}

impl Lowering<'_> {
    pub(super) fn body(&mut self, spec: &BodySpec, settings: &Settings<'_>) {
        let sampling = settings.sampling.map_or_else(|| settings.defaults.clone(), |own| own.over(settings.defaults));
        let first = NodeId::from(self.team.nodes.len());
        let mut body = Body { spec, settings, scope: Scope::default(), sampling, first };

        self.policies(spec);
        self.memories(spec);
        self.variables(spec);
        self.declare(&mut body);
        if body.scope.iter().next().is_none() {
            let help = "add at least one `[agents.NAME]`";
            self.report(Code::EmptyTeam, "the team has no members", settings.span, help);
        }
        self.blocks(&body);
        self.agents(&body);
        self.functions(&body);
        self.curators(&body);
        self.wire(&body);
        self.nodes(&body);
        if let Some(top) = settings.top {
            self.training(top, &body);
        }
        self.enroll(&body);
        self.block_ends(&body);
    }

    /// Gives every declared name its nodes, so that references can be resolved in any order.
    fn declare(&mut self, body: &mut Body<'_>) {
        let names: Vec<_> = body.nodes().collect();
        for (name, node) in names {
            let count = self.count(node);
            let first = NodeId::from(self.team.nodes.len());
            let mut made = 0;
            for index in 0..count {
                let full = format!("{}{}", body.settings.prefix, name.value);
                let replica = (count > 1).then_some(Replica { first, index, of: count });
                let full = if replica.is_some() { format!("{full}[{index}]") } else { full };
                let blank = blank(full, name, body.settings.block, replica);
                if self.push_node(blank).is_none() {
                    break;
                }
                made += 1;
            }
            self.insert(body, name, Group { first, count: made });
        }
        for (name, team) in body.spec.teams.iter().flat_map(|teams| teams.iter()) {
            if let Some(group) = body.scope.get(name) {
                self.subteam(body, name, team, group);
            }
        }
        for (name, one) in body.spec.loops.iter().flat_map(|loops| loops.iter()) {
            let full = format!("{}{}", body.settings.prefix, name.value);
            let rounds = self.loop_rounds(one);
            let budget = self.budget(one.budget.as_ref());
            let Some(node) = self.push_node(blank(full.clone(), name, body.settings.block, None)) else { break };
            let block = Block {
                name: full,
                node: Some(node),
                kind: BlockKind::Loop,
                members: Vec::new(),
                rounds,
                output: Vec::new(),
                budget,
                span: name.span,
            };
            let block = self.push_block(block);
            self.team.nodes[node.index()].kind = NodeKind::Block(block);
            self.insert(body, name, Group { first: node, count: 1 });
        }
    }

    fn insert(&mut self, body: &mut Body<'_>, name: &Spanned<String>, group: Group) {
        if let Some(fault) = name_fault(name) {
            let message = format!("`{}` {fault}", name.value);
            self.report(Code::BadName, message, name.span, "rename it");
        }
        if !body.scope.insert(name, group) {
            let message = format!("the name `{}` is given twice", name.value);
            self.report(
                Code::DuplicateId,
                message,
                name.span,
                "names of agents, functions, teams and loops are one set",
            );
        }
    }

    fn subteam(&mut self, outer: &Body<'_>, name: &Spanned<String>, team: &SubteamSpec, group: Group) {
        let nested = match &team.source {
            Some(source) => {
                let Some(spec) = self.included(team, source) else { return };
                Some((source.value.clone(), spec))
            }
            None => None,
        };
        for node in group.nodes() {
            let full = self.team.node(node).name.clone();
            let (body, header) = match &nested {
                Some((_, spec)) => (&spec.body, spec.team.as_ref().map(|header| &header.value)),
                None => (&team.body, None),
            };
            let rounds_spec = team.rounds.as_ref().or(header.and_then(|header| header.rounds.as_ref()));
            let rounds = self.rounds(rounds_spec);
            let block = self.push_block(Block {
                name: full.clone(),
                node: Some(node),
                kind: BlockKind::Team,
                members: Vec::new(),
                rounds,
                output: Vec::new(),
                budget: unlimited(),
                span: name.span,
            });
            self.team.nodes[node.index()].kind = NodeKind::Block(block);
            let header_sampling = header.and_then(|header| header.sampling.as_ref());
            let settings = Settings {
                block,
                prefix: format!("{full}/"),
                rounds: rounds_spec.map(|rounds| &rounds.value),
                output: team.output.as_ref().or(header.and_then(|header| header.output.as_ref())),
                sampling: team.sampling.as_ref().or(header_sampling).map(|sampling| &sampling.value),
                defaults: &outer.sampling,
                top: None,
                span: name.span,
            };
            let pushed = nested.as_ref().map(|(source, _)| self.open_files.push(source.clone()));
            self.body(body, &settings);
            if pushed.is_some() {
                self.open_files.pop();
            }
            if self.full {
                return;
            }
        }
    }

    /// Makes every node that is not employed a member of its block, in declared order.
    fn enroll(&mut self, body: &Body<'_>) {
        for index in body.first.index()..self.team.nodes.len() {
            let node = &self.team.nodes[index];
            let own = match self.team.blocks[node.block.index()].kind {
                // Nodes of inner teams were enrolled with their own body.
                BlockKind::Team => node.block == body.settings.block,
                BlockKind::Loop | BlockKind::Routed(_) => true,
            };
            let home = node.block.index();
            if own && !node.employed && !self.team.blocks[home].members.contains_last(NodeId::from(index)) {
                self.team.blocks[home].members.push(NodeId::from(index));
            }
        }
    }
}

trait ContainsLast {
    /// Whether a list that is filled in ascending order already holds this id.
    fn contains_last(&self, id: NodeId) -> bool;
}

impl ContainsLast for Vec<NodeId> {
    fn contains_last(&self, id: NodeId) -> bool {
        self.binary_search(&id).is_ok()
    }
}

fn blank(name: String, label: &Spanned<String>, block: BlockId, replica: Option<Replica>) -> Node {
    Node {
        name,
        label: label.value.clone(),
        block,
        kind: NodeKind::Block(block),
        replica,
        map: None,
        when: None,
        join: Join::All,
        sees_task: true,
        sets: Vec::new(),
        budget: unlimited(),
        employed: false,
        span: label.span,
    }
}

impl Lowering<'_> {
    fn loop_rounds(&mut self, one: &Spanned<crate::spec::LoopSpec>) -> Rounds {
        let rounds = RoundsSpec { max: one.max, until: one.until.clone(), keep: one.keep, by: one.by.clone() };
        self.rounds(Some(&Spanned::new(rounds, one.span)))
    }
}
