//! The count itself: per node, per block, then the whole team.

use super::WorstCase;
use crate::expr::{Guard, Scope};
use crate::team::{
    Agent, BlockKind, Carries, Map, NodeId, NodeKind, Op, RankMethod, Routing, Score, Team, Tree, TreeSelect,
};

/// Rounds beyond which a condition on `round` is taken to hold always instead of being tried out.
const TRIED: u32 = 4096;

/// What every node costs in one round of its block (all items of a map together), and every block in one run.
#[derive(Debug)]
pub(crate) struct Costs {
    pub(crate) nodes: Vec<WorstCase>,
    pub(crate) blocks: Vec<WorstCase>,
}

/// The most one run of the team can cost.
pub(crate) fn worst_case(team: &Team) -> WorstCase {
    costs(team).blocks[Team::ROOT.index()]
}

/// Costs of all nodes and blocks, in time linear in nodes, edges and tried rounds.
pub(crate) fn costs(team: &Team) -> Costs {
    let mut nodes = vec![WorstCase::default(); team.nodes().len()];
    let mut blocks = vec![WorstCase::default(); team.blocks().len()];
    for id in team.node_ids() {
        nodes[id.index()] = match &team.node(id).kind {
            NodeKind::Agent(agent) => turn(team, agent) * items(team.node(id).map.as_ref()),
            NodeKind::Function(function) => {
                operation(team, id, &function.op, function.max) * items(team.node(id).map.as_ref())
            }
            NodeKind::Block(_) => WorstCase::default(),
        };
    }
    // A block comes after the one around it, so going backwards meets inner blocks first.
    for index in (0..team.blocks().len()).rev() {
        let block = &team.blocks()[index];
        let rounds = u64::from(block.rounds.max);
        blocks[index] = match &block.kind {
            BlockKind::Team | BlockKind::Loop => {
                block.members.iter().map(|id| nodes[id.index()] * acting(team, *id)).sum()
            }
            BlockKind::Routed(routing) => routed(routing, &nodes) * rounds,
        };
        if let Some(node) = block.node {
            nodes[node.index()] = blocks[index] * items(team.node(node).map.as_ref());
        }
    }
    Costs { nodes, blocks }
}

fn items(map: Option<&Map>) -> u64 {
    map.map_or(1, |map| u64::from(map.max))
}

/// One turn of an agent: its tool calls, its retries, and the curators of what it writes.
fn turn(team: &Team, agent: &Agent) -> WorstCase {
    let once = WorstCase { calls: 1, tokens: u64::from(agent.sampling.max_tokens) };
    let tries = u64::from(agent.output.on_parse_error.retries) + 1;
    let curators = agent.writes.iter().filter_map(|memory| team.memories()[memory.index()].curator);
    let curating: WorstCase = curators.map(|curator| employed(team, curator)).sum();
    once * (u64::from(agent.max_tool_calls) + 1) * tries + curating
}

/// One call of an employed agent.
fn employed(team: &Team, id: NodeId) -> WorstCase {
    let Some(agent) = team.node(id).agent() else { return WorstCase::default() };
    let once = WorstCase { calls: 1, tokens: u64::from(agent.sampling.max_tokens) };
    once * (u64::from(agent.max_tool_calls) + 1) * (u64::from(agent.output.on_parse_error.retries) + 1)
}

/// Rounds of its block in which a node may act.
fn acting(team: &Team, id: NodeId) -> u64 {
    let node = team.node(id);
    let rounds = team.block(node.block).rounds.max;
    node.when.as_ref().and_then(|when| rounds_acting(team, id, when)).map_or(u64::from(rounds), u64::from)
}

/// In how many rounds a condition on `round` (or on nothing) holds; `None` when it looks at anything else
/// or has no value.
pub(crate) fn rounds_acting(team: &Team, id: NodeId, when: &Guard) -> Option<u32> {
    let rounds = team.block(team.node(id).block).rounds.max;
    let references = when.expression().program().references();
    if rounds > TRIED || !references.variables().iter().all(|name| matches!(*name, "round" | "rounds")) {
        return None;
    }
    let holds = |round: u32| {
        let scope = Scope::from_iter([("round".to_owned(), round.into()), ("rounds".to_owned(), rounds.into())]);
        when.holds(&scope).ok()
    };
    let held: Option<Vec<bool>> = (0..rounds).map(holds).collect();
    held.map(|held| held.into_iter().filter(|holds| *holds).count() as u32)
}

/// One decision and the most expensive targets it may set off.
fn routed(routing: &Routing, nodes: &[WorstCase]) -> WorstCase {
    let most = |count: fn(&WorstCase) -> u64| {
        let mut targets: Vec<u64> = routing.targets.iter().map(|target| count(&nodes[target.index()])).collect();
        targets.sort_unstable_by(|left, right| right.cmp(left));
        targets.iter().take(routing.several as usize).fold(0_u64, |sum, cost| sum.saturating_add(*cost))
    };
    nodes[routing.router.index()] + WorstCase { calls: most(|cost| cost.calls), tokens: most(|cost| cost.tokens) }
}

fn operation(team: &Team, id: NodeId, op: &Op, max: Option<u32>) -> WorstCase {
    match op {
        Op::Rank { method, judge, .. } => employed(team, *judge) * asked(*method, inputs(team, id, max)),
        Op::BestOf { score: Score::Judge(judge), .. } => employed(team, *judge) * inputs(team, id, max),
        Op::Tree(tree) => search(team, tree),
        _ => WorstCase::default(),
    }
}

/// Most inputs of a function.
fn inputs(team: &Team, id: NodeId, max: Option<u32>) -> u64 {
    let mut most = 0_u64;
    for edge in team.incoming(id).iter().map(|edge| team.edge(*edge)) {
        let copies = items(team.node(edge.from).map.as_ref());
        let listed = match &edge.carries {
            Carries::Field(field) => team.max_items(edge.from, field).map_or(1, u64::from),
            Carries::Text => 1,
        };
        most = most.saturating_add(copies.saturating_mul(listed));
    }
    match max {
        // A list without a bound of its own may fill the function up to its cap.
        Some(max) if team.incoming(id).iter().any(|edge| is_open_list(team, *edge)) => u64::from(max),
        Some(max) => most.min(u64::from(max)),
        None => most,
    }
}

fn is_open_list(team: &Team, edge: crate::team::EdgeId) -> bool {
    let edge = team.edge(edge);
    let Carries::Field(field) = &edge.carries else { return false };
    team.max_items(edge.from, field).is_none()
        && matches!(team.port(edge.from, field), Some(crate::spec::PortType::List | crate::spec::PortType::Any))
}

/// Calls of a ranking judge for n candidates.
fn asked(method: RankMethod, n: u64) -> u64 {
    let pairs = n.saturating_mul(n.saturating_sub(1)) / 2;
    match method {
        RankMethod::Pointwise => n,
        RankMethod::Pairwise { swap: false } => pairs,
        RankMethod::Pairwise { swap: true } => pairs.saturating_mul(2),
        RankMethod::Listwise { window, step } => match n.checked_sub(u64::from(window)) {
            Some(rest) => rest.div_ceil(u64::from(step)) + 1,
            None => u64::from(n > 0),
        },
        RankMethod::Tournament => n.saturating_sub(1),
    }
}

/// Every expansion is a call of the expander and, with a scorer, one of the scorer.
fn search(team: &Team, tree: &Tree) -> WorstCase {
    let (b, d) = (u64::from(tree.branch), u64::from(tree.depth));
    let expansions = match tree.select {
        TreeSelect::Bfs | TreeSelect::Dfs => full(b, d),
        TreeSelect::Beam { width } => b.saturating_add((d - 1).saturating_mul(u64::from(width)).saturating_mul(b)),
        TreeSelect::Mcts { simulations } => u64::from(simulations).saturating_mul(d).min(full(b, d)),
    };
    let expansions = tree.max_nodes.map_or(expansions, |max| expansions.min(u64::from(max)));
    let scoring = tree.score.map_or_else(WorstCase::default, |score| employed(team, score));
    (employed(team, tree.expand) + scoring) * expansions
}

/// Nodes below the root of a full tree: b + b² + … + b^d.
fn full(b: u64, d: u64) -> u64 {
    if b == 1 {
        return d;
    }
    let (mut level, mut sum) = (1_u64, 0_u64);
    for _ in 0..d {
        level = level.saturating_mul(b);
        sum = sum.saturating_add(level);
        if sum == u64::MAX {
            break;
        }
    }
    sum
}
