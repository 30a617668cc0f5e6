//! Routers: an agent and those it may call become a block of their own, in which D follows what the agent says.

use std::collections::BTreeMap;

use super::body::Body;
use super::{Lowering, Rounds, or, unlimited};
use crate::check::Code;
use crate::source::Spanned;
use crate::spec::{RoutesSpec, UnparseableWord};
use crate::team::{Block, BlockKind, Carries, Edge, EdgeOrigin, Node, NodeId, NodeKind, Routing, Unparseable};

impl Lowering<'_> {
    /// Makes the block of a router and moves the router and its targets into it.
    pub(super) fn router(
        &mut self,
        body: &Body<'_>,
        name: &Spanned<String>,
        routes: &Spanned<RoutesSpec>,
        claimed: &mut BTreeMap<NodeId, String>,
    ) {
        let Some(group) = body.scope.get(name) else { return };
        if group.count != 1 {
            self.report(
                Code::BadCombination,
                "a router cannot have replicas",
                routes.span,
                "remove `count`, or put it into a team with `count`",
            );
            return;
        }
        let max = match &routes.max_steps {
            Some(max) if max.value > 0 => max.value,
            Some(max) => {
                self.report(Code::BadValue, "`max_steps = 0` would never run", max.span, "use at least 1");
                1
            }
            None => {
                self.report(
                    Code::UncappedLoop,
                    format!("the router `{}` has no cap", name.value),
                    routes.span,
                    "add `max_steps = N`",
                );
                1
            }
        };
        let full = format!("{}:routes", self.team.node(group.first).name);
        let home = self.team.node(group.first).block;
        let template = self.team.node(group.first).clone();
        let placeholder = Node { name: full.clone(), label: format!("{}:routes", name.value), block: home, ..template };
        let Some(node) = self.push_node(placeholder) else { return };
        let targets = self.targets(body, name, group.first, routes, claimed);
        let unparseable = self.unparseable(body, routes, &targets);
        let returns = or(routes.returns.as_ref(), true);
        let done = routes
            .done
            .as_ref()
            .map_or_else(|| vec!["done".to_owned()], |done| done.iter().map(|word| word.value.clone()).collect());
        let block = self.push_block(Block {
            name: full,
            node: Some(node),
            kind: BlockKind::Routed(Routing {
                router: group.first,
                field: or(routes.field.as_ref(), "next".to_owned()),
                targets: targets.clone(),
                done,
                several: or(routes.several.as_ref(), 1).max(1),
                unparseable,
                returns,
            }),
            members: Vec::new(),
            rounds: Rounds { max: if returns { max } else { 1 }, ..Rounds::once() },
            output: vec![group.first],
            budget: unlimited(),
            span: routes.span,
        });
        self.team.nodes[node.index()].kind = NodeKind::Block(block);
        self.team.nodes[group.first.index()].block = block;
        for target in targets {
            self.team.nodes[target.index()].block = block;
            self.push_edge(route(group.first, target, 0, EdgeOrigin::Route, routes));
            if returns && max > 1 {
                self.push_edge(route(target, group.first, 1, EdgeOrigin::Return, routes));
            }
        }
    }

    /// The nodes that a router may name, each claimed for it.
    fn targets(
        &mut self,
        body: &Body<'_>,
        name: &Spanned<String>,
        router: NodeId,
        routes: &Spanned<RoutesSpec>,
        claimed: &mut BTreeMap<NodeId, String>,
    ) -> Vec<NodeId> {
        let mut targets = Vec::new();
        for target in routes.to.iter().flat_map(|to| to.iter()) {
            let Some(found) = body.scope.resolve(target, &mut self.problems) else { continue };
            if found.first == router {
                self.report(
                    Code::SelfEdge,
                    "a router cannot name itself",
                    target.span,
                    "it speaks again after each target anyway",
                );
            } else if found.count != 1 {
                self.report(
                    Code::BadCombination,
                    format!("`{}` has replicas", target.value),
                    target.span,
                    "route to a team that holds the replicas",
                );
            } else if let Some(other) = claimed.get(&found.first) {
                let message = format!("`{}` belongs to both `{other}` and `{}`", target.value, name.value);
                let help = "a node is a target of one router; give each router its own copy";
                self.report(Code::BadCombination, message, target.span, help);
            } else {
                claimed.insert(found.first, name.value.clone());
                targets.push(found.first);
            }
        }
        if targets.is_empty() && routes.to.as_ref().is_some_and(|to| to.is_empty()) {
            self.report(
                Code::EmptyTeam,
                format!("the router `{}` has no targets", name.value),
                routes.span,
                "name at least one node in `to`",
            );
        }
        targets
    }

    fn unparseable(&mut self, body: &Body<'_>, routes: &Spanned<RoutesSpec>, targets: &[NodeId]) -> Unparseable {
        let word = or(routes.unparseable.as_ref(), UnparseableWord::End);
        match (word, &routes.default) {
            (UnparseableWord::End, None) => Unparseable::End,
            (UnparseableWord::Fail, None) => Unparseable::Fail,
            (UnparseableWord::Default, Some(name)) => {
                let target = body.scope.resolve(name, &mut self.problems).map(|group| group.first);
                match target {
                    Some(target) if targets.contains(&target) => return Unparseable::Default(target),
                    Some(_) => self.report(
                        Code::BadCombination,
                        format!("`{}` is not one of `to`", name.value),
                        name.span,
                        "add it to `to`",
                    ),
                    None => {}
                }
                Unparseable::End
            }
            (UnparseableWord::Default, None) => {
                self.report(
                    Code::MissingKey,
                    "`default` is missing",
                    routes.span,
                    "name the target that speaks when the route does not parse",
                );
                Unparseable::End
            }
            (_, Some(name)) => {
                self.report(
                    Code::BadCombination,
                    "`default` has no effect",
                    name.span,
                    "add `unparseable = \"default\"`",
                );
                Unparseable::End
            }
        }
    }
}

fn route(from: NodeId, to: NodeId, delay: u32, origin: EdgeOrigin, routes: &Spanned<RoutesSpec>) -> Edge {
    Edge { from, to, carries: Carries::Text, delay, when: None, template: None, origin, span: routes.span }
}
