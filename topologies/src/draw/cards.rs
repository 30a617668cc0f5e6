//! Cards: what is written on a node.

use super::picture::{Card, Look, is_output};
use crate::team::{
    Agent, Budget, Function, ListSource, Map, MapOrder, NodeId, NodeKind, Op, PolicyKind, RankMethod, Score, Team,
    TreeSelect,
};

/// The card of an agent or function.
pub(super) fn card(team: &Team, id: NodeId, employs: Vec<usize>) -> Card {
    let node = team.node(id);
    let (look, mut lines) = match &node.kind {
        NodeKind::Agent(agent) => agent_lines(team, agent, &node.label),
        NodeKind::Function(function) => (Look::Function, vec![operation(function)]),
        NodeKind::Block(_) => (Look::Function, Vec::new()),
    };
    lines.extend(node.map.as_ref().map(|map| map_line(team, map)));
    lines.extend(node.when.as_ref().map(|when| format!("when {}", when.source())));
    if !node.budget.is_unlimited() {
        lines.push(budget_line(&node.budget));
    }
    Card {
        name: node.label.clone(),
        count: node.replica.map_or(1, |replica| replica.of),
        lines,
        look,
        sees_task: node.sees_task && !node.employed,
        is_output: is_output(team, id),
        employs,
    }
}

fn agent_lines(team: &Team, agent: &Agent, label: &str) -> (Look, Vec<String>) {
    let policy = team.policy(agent.policy);
    let shared = if policy.name == label { String::new() } else { format!(" {}", policy.name) };
    let kind = match &policy.kind {
        PolicyKind::Local { .. } if agent.trainable => format!("adapter{shared}"),
        PolicyKind::Local { .. } => format!("frozen{shared}"),
        PolicyKind::Remote { model, .. } => format!("remote {model}"),
        PolicyKind::Human => "human".to_owned(),
        PolicyKind::Scripted { .. } => "scripted".to_owned(),
    };
    let mut lines = vec![kind];
    if !agent.tools.is_empty() {
        lines.push(format!("calls {}", agent.tools.join(", ")));
    }
    let memory = |verb: &str, ids: &[crate::team::MemoryId]| {
        let names: Vec<_> = ids.iter().map(|id| team.memories()[id.index()].name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{verb} {}", names.join(", ")))
    };
    match (memory("reads", &agent.reads), memory("writes", &agent.writes)) {
        (Some(reads), Some(_)) if agent.reads == agent.writes => {
            lines.push(reads.replacen("reads", "reads, writes", 1));
        }
        (reads, writes) => lines.extend(reads.into_iter().chain(writes)),
    }
    (if agent.trainable { Look::Trainable } else { Look::Frozen }, lines)
}

fn operation(function: &Function) -> String {
    match &function.op {
        Op::Majority { .. } => "majority".to_owned(),
        Op::Vote { weight, .. } => format!("vote by {weight}"),
        Op::BestOf { score: Score::Field(field), .. } => format!("best of {field}"),
        Op::BestOf { score: Score::Judge(_), .. } => "best of, judged".to_owned(),
        Op::Rank { method, .. } => match method {
            RankMethod::Pointwise => "ranks pointwise".to_owned(),
            RankMethod::Pairwise { .. } => "ranks pairwise".to_owned(),
            RankMethod::Listwise { window, .. } => format!("ranks by windows of {window}"),
            RankMethod::Tournament => "ranks by tournament".to_owned(),
        },
        Op::Concat { .. } => "concatenates".to_owned(),
        Op::Transform(expression) => expression.source().to_owned(),
        Op::Tool { tool, .. } => format!("tool {tool}"),
        Op::Tree(tree) => {
            let how = match tree.select {
                TreeSelect::Bfs => "breadth first".to_owned(),
                TreeSelect::Dfs => "depth first".to_owned(),
                TreeSelect::Beam { width } => format!("beam of {width}"),
                TreeSelect::Mcts { simulations } => format!("{simulations} roll-outs"),
            };
            format!("tree {}×{}, {how}", tree.branch, tree.depth)
        }
    }
}

/// A map in words.
pub(super) fn map_line(team: &Team, map: &Map) -> String {
    let list = match &map.over {
        ListSource::Nodes { nodes, field } => {
            let names: Vec<_> = nodes.iter().take(1).map(|node| team.node(*node).label.as_str()).collect();
            let field = field.as_ref().map(|field| format!(".{field}")).unwrap_or_default();
            format!("{}{field}", names.join(""))
        }
        ListSource::State(variable) => team.variables()[variable.index()].name.clone(),
        ListSource::Task(field) => format!("task.{field}"),
    };
    let order = match map.order {
        MapOrder::Parallel => "",
        MapOrder::Chain => ", in a chain",
        MapOrder::Dag { .. } => ", as a DAG",
    };
    let verb = if map.spawn { "spawned for" } else { "for" };
    format!("{verb} each of {list}, ≤ {}{order}", map.max)
}

/// Limits in words.
pub(super) fn budget_line(budget: &Budget) -> String {
    let limits = [
        budget.calls.map(|calls| format!("{calls} calls")),
        budget.tokens.map(|tokens| format!("{tokens} tokens")),
        budget.seconds.map(|seconds| format!("{seconds} s")),
        budget.cost.map(|cost| format!("cost {cost}")),
    ];
    format!("at most {}", limits.into_iter().flatten().collect::<Vec<_>>().join(", "))
}
