//! What there is to draw: cards, boxes and links, replicas taken together.

use std::collections::BTreeMap;

use crate::team::{Block, BlockId, BlockKind, Carries, EdgeOrigin, Keep, NodeId, NodeKind, Rounds, Team};

/// A drawing before it has a form.
#[derive(Debug, Clone)]
pub struct Picture {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) cards: Vec<Card>,
    pub(super) boxes: Vec<Group>,
    pub(super) links: Vec<Link>,
}

/// A node, or all replicas of one.
#[derive(Debug, Clone)]
pub(super) struct Card {
    pub(super) name: String,
    /// Number of replicas.
    pub(super) count: u32,
    pub(super) lines: Vec<String>,
    pub(super) look: Look,
    pub(super) sees_task: bool,
    pub(super) is_output: bool,
    /// Cards of the agents it employs.
    pub(super) employs: Vec<usize>,
}

/// How a card looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Its weights are trained.
    Trainable,
    /// An agent that is not trained.
    Frozen,
    /// Computes without a policy.
    Function,
}

/// A block: the root is the whole picture.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) title: String,
    pub(super) note: String,
    pub(super) members: Vec<Member>,
    pub(super) sees_task: bool,
    pub(super) is_output: bool,
    /// Number of replicas.
    pub(super) count: u32,
}

/// A member of a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Member {
    /// Index of a card.
    Card(usize),
    /// Index of a box.
    Box(usize),
}

/// An edge, or all edges between two sets of replicas.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) from: Member,
    pub(super) to: Member,
    pub(super) kind: Kind,
    /// Guards and carried fields.
    pub(super) label: String,
}

/// Kinds of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Heard in the same round.
    Plain,
    /// Heard k rounds later.
    Delayed(u32),
    /// A router may name the target.
    Route,
    /// A router may name the target, which reports back.
    Call,
}

impl Picture {
    /// The picture of a team.
    pub fn of(team: &Team) -> Self {
        let mut picture = Self {
            title: String::new(),
            subtitle: String::new(),
            cards: Vec::new(),
            boxes: Vec::new(),
            links: Vec::new(),
        };
        let mut placed: BTreeMap<NodeId, Member> = BTreeMap::new();
        for (id, block) in team.blocks().iter().enumerate() {
            let group = Self::group(team, BlockId::from(id), block);
            picture.boxes.push(group);
        }
        for (id, block) in team.blocks().iter().enumerate() {
            for member in &block.members {
                picture.place(team, id, *member, &mut placed);
            }
        }
        team.name().clone_into(&mut picture.title);
        picture.subtitle = picture.boxes.first().map(|root| root.note.clone()).unwrap_or_default();
        picture.links(team, &placed);
        picture
    }

    fn group(team: &Team, id: BlockId, block: &Block) -> Group {
        let outer = block.node.map(|node| team.node(node));
        let title = match (&block.kind, outer) {
            (BlockKind::Routed(routing), _) => format!("routed by {}", team.node(routing.router).label),
            (_, Some(node)) => node.label.clone(),
            (_, None) => block.name.clone(),
        };
        let is_output = block.node.is_some_and(|node| is_output(team, node));
        Group {
            title,
            note: note(team, id, block),
            members: Vec::new(),
            sees_task: matches!(block.kind, BlockKind::Team) && outer.is_some_and(|node| node.sees_task),
            is_output,
            count: outer.and_then(|node| node.replica).map_or(1, |replica| replica.of),
        }
    }

    /// Puts a member into its box; replicas after the first join the first's card.
    fn place(&mut self, team: &Team, home: usize, id: NodeId, placed: &mut BTreeMap<NodeId, Member>) {
        let node = team.node(id);
        let first = node.replica.map_or(id, |replica| replica.first);
        if let Some(known) = placed.get(&first).copied().filter(|_| first != id) {
            placed.insert(id, known);
            return;
        }
        let member = match &node.kind {
            NodeKind::Block(block) => Member::Box(block.index()),
            NodeKind::Agent(_) | NodeKind::Function(_) => Member::Card(self.card(team, id)),
        };
        placed.insert(id, member);
        if !Self::is_copy(team, home) {
            self.boxes[home].members.push(member);
        }
    }

    /// Whether a box lies inside a replica that is not drawn.
    fn is_copy(team: &Team, mut block: usize) -> bool {
        while let Some(node) = team.blocks()[block].node {
            if team.node(node).replica.is_some_and(|replica| replica.index > 0) {
                return true;
            }
            block = team.node(node).block.index();
        }
        false
    }

    fn card(&mut self, team: &Team, id: NodeId) -> usize {
        let employs = crate::turns::employees(team, id).into_iter().map(|employee| self.card(team, employee)).collect();
        let card = super::cards::card(team, id, employs);
        self.cards.push(card);
        self.cards.len() - 1
    }

    fn links(&mut self, team: &Team, placed: &BTreeMap<NodeId, Member>) {
        let mut found: BTreeMap<(Member, Member, Kind), Vec<String>> = BTreeMap::new();
        let mut order = Vec::new();
        for edge in team.edges() {
            let copy = |node: NodeId| Self::is_copy(team, team.node(node).block.index());
            if copy(edge.from) || copy(edge.to) {
                continue;
            }
            let (Some(from), Some(to)) = (placed.get(&edge.from), placed.get(&edge.to)) else { continue };
            let kind = match edge.origin {
                EdgeOrigin::Route => Kind::Route,
                EdgeOrigin::Return => continue,
                _ if edge.delay > 0 => Kind::Delayed(edge.delay),
                _ => Kind::Plain,
            };
            let returns = |other: &crate::team::Edge| {
                other.origin == EdgeOrigin::Return && other.from == edge.to && other.to == edge.from
            };
            let called = kind == Kind::Route && team.outgoing(edge.to).iter().any(|other| returns(team.edge(*other)));
            let kind = if called { Kind::Call } else { kind };
            let mut label = Vec::new();
            if let Carries::Field(field) = &edge.carries {
                label.push(format!(".{field}"));
            }
            match &edge.origin {
                EdgeOrigin::Over => label.push("each".to_owned()),
                EdgeOrigin::Topic(topic) => label.push(format!("#{topic}")),
                _ => {}
            }
            label.extend(edge.when.as_ref().map(|when| when.source().to_owned()));
            let key = (*from, *to, kind);
            let labels = found.entry(key).or_insert_with(|| {
                order.push(key);
                Vec::new()
            });
            let label = label.join(" ");
            if !label.is_empty() && !labels.contains(&label) {
                labels.push(label);
            }
        }
        for key in order {
            let (from, to, kind) = key;
            let label = found.remove(&key).unwrap_or_default().join(", ");
            self.links.push(Link { from, to, kind, label });
        }
        self.gather_fields();
    }

    /// A field that several links carry to one card is written on the card instead of on every link.
    fn gather_fields(&mut self) {
        let mut carried: BTreeMap<Member, Vec<usize>> = BTreeMap::new();
        for (index, link) in self.links.iter().enumerate() {
            carried.entry(link.to).or_default().push(index);
        }
        for (to, links) in carried {
            let label = self.links[links[0]].label.clone();
            let field = label.strip_prefix('.').filter(|field| !field.contains([' ', ',']));
            let same = links.len() > 1 && links.iter().all(|link| self.links[*link].label == label);
            if let (Some(field), true, Member::Card(card)) = (field, same, to) {
                self.cards[card].lines.insert(1, format!("hears each {field}"));
                for link in links {
                    self.links[link].label.clear();
                }
            }
        }
    }

    /// Whether any link is of a kind.
    pub(super) fn has(&self, kind: impl Fn(Kind) -> bool) -> bool {
        self.links.iter().any(|link| kind(link.kind))
    }
}

/// Whether a node speaks for the team.
pub(super) fn is_output(team: &Team, node: NodeId) -> bool {
    team.block(Team::ROOT).output.contains(&node)
}

/// Rounds and what ends them, in words.
fn note(team: &Team, id: BlockId, block: &Block) -> String {
    let Rounds { max, until, keep } = &block.rounds;
    let mut parts = Vec::new();
    match &block.kind {
        BlockKind::Routed(routing) if routing.returns => parts.push(format!("up to {max} decisions")),
        BlockKind::Routed(_) => parts.push("one decision".to_owned()),
        _ if *max > 1 => parts.push(format!("up to {max} rounds")),
        _ => {}
    }
    parts.extend(until.as_ref().map(|until| format!("until {}", until.source())));
    if let Keep::Best { node, field } = keep {
        parts.push(format!("keeps the best {}.{field}", team.node(*node).label));
    }
    if let Some(map) = block.node.and_then(|node| team.node(node).map.as_ref()) {
        parts.push(super::cards::map_line(team, map));
    }
    if !block.budget.is_unlimited() {
        parts.push(super::cards::budget_line(&block.budget));
    }
    if id == Team::ROOT && parts.is_empty() { String::new() } else { parts.join(" · ") }
}
