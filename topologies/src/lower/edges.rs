//! Edges: `sees`, `[[edges]]`, topics, and the lists that maps run over.

use std::collections::BTreeMap;

use super::Lowering;
use super::body::Body;
use super::scope::{Group, parse_reference};
use crate::check::Code;
use crate::check::names::nearest;
use crate::source::{Span, Spanned};
use crate::spec::{NodeSpec, TopicSpec};
use crate::team::{Carries, Edge, EdgeOrigin, NodeId};

/// An edge between groups, before it is multiplied by replicas.
struct Wire {
    carries: Carries,
    delay: u32,
    when: Option<Spanned<crate::expr::Guard>>,
    template: Option<Spanned<crate::template::Template>>,
    origin: EdgeOrigin,
    span: Span,
}

impl Lowering<'_> {
    pub(super) fn wire(&mut self, body: &Body<'_>) {
        for (name, spec) in body.nodes() {
            if let Some(group) = body.scope.get(name) {
                self.sees(body, spec, group);
            }
        }
        self.long_edges(body);
        self.topics(body);
        for (name, spec) in body.nodes() {
            if let Some(group) = body.scope.get(name) {
                self.over_edges(body, spec, group);
            }
        }
    }

    fn sees(&mut self, body: &Body<'_>, spec: &NodeSpec, to: Group) {
        let Some(sees) = &spec.sees else { return };
        let mut sees_task = false;
        for item in sees.iter() {
            let Some(parsed) = parse_reference(item) else {
                let help = "write `task`, `node`, `node.field`, or `node@-1` for the round before";
                self.report(Code::BadValue, format!("`{}` is not a reference", item.value), item.span, help);
                continue;
            };
            if parsed.name == "task" && parsed.field.is_none() && parsed.delay == 0 {
                sees_task = true;
                continue;
            }
            let name = Spanned::new(parsed.name.to_owned(), item.span);
            let Some(from) = body.scope.resolve(&name, &mut self.problems) else { continue };
            let wire = Wire {
                carries: parsed.field.map_or(Carries::Text, |field| Carries::Field(field.to_owned())),
                delay: parsed.delay,
                when: None,
                template: None,
                origin: EdgeOrigin::Sees,
                span: item.span,
            };
            self.connect(from, to, &wire);
        }
        for node in to.nodes() {
            self.team.nodes[node.index()].sees_task = sees_task;
        }
    }

    fn long_edges(&mut self, body: &Body<'_>) {
        for edge in body.spec.edges.iter().flat_map(|edges| edges.iter()) {
            let from = edge.from.as_ref().and_then(|name| body.scope.resolve(name, &mut self.problems));
            let to = edge.to.as_ref().and_then(|name| body.scope.resolve(name, &mut self.problems));
            let wire = Wire {
                carries: carries(edge.carries.as_ref()),
                delay: edge.delay.as_ref().map_or(0, |delay| delay.value),
                when: self.guard(edge.when.as_ref()),
                template: self.template(edge.template.as_ref()),
                origin: EdgeOrigin::Declared,
                span: edge.span,
            };
            if let (Some(from), Some(to)) = (from, to) {
                self.connect(from, to, &wire);
            }
        }
    }

    /// An edge from every node of one group to every node of the other, never from a node to itself when there are
    /// replicas: then the others are meant.
    fn connect(&mut self, from: Group, to: Group, wire: &Wire) {
        let same = from.first == to.first;
        if same && wire.delay == 0 {
            let name = self.team.node(from.first).label.clone();
            let help = format!("write `{name}@-1` (or `delay = 1`) to see the round before");
            self.report(Code::SelfEdge, format!("`{name}` would wait for itself"), wire.span, help);
            return;
        }
        for from_node in from.nodes() {
            for to_node in to.nodes() {
                if (same && from.count > 1 && from_node == to_node) || self.full {
                    continue;
                }
                self.push_edge(wire.between(from_node, to_node));
            }
        }
    }

    fn topics(&mut self, body: &Body<'_>) {
        let mut ends: BTreeMap<&str, (Vec<Group>, Vec<Group>)> = BTreeMap::new();
        let declared: Vec<_> = body.spec.topics.iter().flat_map(|topics| topics.iter()).collect();
        for (name, spec) in body.nodes() {
            let Some(group) = body.scope.get(name) else { continue };
            for (list, hears) in [(&spec.publishes, false), (&spec.subscribes, true)] {
                for topic in list.iter().flat_map(|topics| topics.iter()) {
                    let Some((known, _)) = declared.iter().find(|(known, _)| known.value == topic.value) else {
                        let near = nearest(topic, declared.iter().map(|(name, _)| name.as_str()));
                        let help = near.map_or_else(
                            || format!("declare it: `[topics.{}]`", topic.value),
                            |near| format!("did you mean `{near}`?"),
                        );
                        self.report(
                            Code::DanglingReference,
                            format!("there is no topic `{}`", topic.value),
                            topic.span,
                            help,
                        );
                        continue;
                    };
                    let (publishers, subscribers) = ends.entry(known.as_str()).or_default();
                    if hears { subscribers.push(group) } else { publishers.push(group) }
                }
            }
        }
        for (name, topic) in declared {
            let (publishers, subscribers) = ends.remove(name.as_str()).unwrap_or_default();
            if publishers.is_empty() || subscribers.is_empty() {
                let (none, help) = if publishers.is_empty() {
                    ("publishes on", format!("add `publishes = [\"{}\"]` to an agent", name.value))
                } else {
                    ("subscribes to", format!("add `subscribes = [\"{}\"]` to an agent", name.value))
                };
                self.report(
                    Code::DanglingReference,
                    format!("nobody {none} the topic `{}`", name.value),
                    name.span,
                    help,
                );
            }
            self.topic(name, topic, &publishers, &subscribers);
        }
    }

    fn topic(&mut self, name: &Spanned<String>, topic: &TopicSpec, publishers: &[Group], subscribers: &[Group]) {
        let wire = Wire {
            carries: carries(topic.carries.as_ref()),
            delay: topic.delay.as_ref().map_or(0, |delay| delay.value),
            when: self.guard(topic.when.as_ref()),
            template: self.template(topic.template.as_ref()),
            origin: EdgeOrigin::Topic(name.value.clone()),
            span: name.span,
        };
        for publisher in publishers {
            for subscriber in subscribers {
                if publisher.first != subscriber.first || publisher.count > 1 {
                    self.connect_topic(*publisher, *subscriber, &wire);
                }
            }
        }
    }

    fn connect_topic(&mut self, from: Group, to: Group, wire: &Wire) {
        for from_node in from.nodes() {
            for to_node in to.nodes().filter(|to| *to != from_node) {
                if !self.full {
                    self.push_edge(wire.between(from_node, to_node));
                }
            }
        }
    }

    /// A map over nodes conditions the mapped node on them, so the edge is there whether or not `sees` says so.
    fn over_edges(&mut self, body: &Body<'_>, spec: &NodeSpec, to: Group) {
        let Some(map) = spec.map.as_ref().or(spec.spawn.as_ref()) else { return };
        let Some(over) = &map.over else { return };
        let Some(parsed) = parse_reference(over).filter(|parsed| !matches!(parsed.name, "task" | "state")) else {
            return;
        };
        let Some(from) = body.scope.get(parsed.name) else { return };
        let wire = Wire {
            carries: parsed.field.map_or(Carries::Text, |field| Carries::Field(field.to_owned())),
            delay: 0,
            when: None,
            template: None,
            origin: EdgeOrigin::Over,
            span: over.span,
        };
        self.connect(from, to, &wire);
    }
}

impl Wire {
    fn between(&self, from: NodeId, to: NodeId) -> Edge {
        Edge {
            from,
            to,
            carries: self.carries.clone(),
            delay: self.delay,
            when: self.when.clone(),
            template: self.template.clone(),
            origin: self.origin.clone(),
            span: self.span,
        }
    }
}

fn carries(field: Option<&Spanned<String>>) -> Carries {
    match field {
        Some(field) if field.value != "text" => Carries::Field(field.value.clone()),
        _ => Carries::Text,
    }
}
