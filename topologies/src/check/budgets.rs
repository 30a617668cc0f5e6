//! Budgets: one below the worst case needs a declared outcome.

use super::{Code, Problem};
use crate::source::Span;
use crate::team::{Budget, Team};
use crate::worst_case::{WorstCase, costs};

pub(super) fn check(team: &Team, problems: &mut Vec<Problem>) {
    let costs = costs(team);
    for (index, block) in team.blocks().iter().enumerate() {
        let name = if block.node.is_some() { format!("`{}`", block.name) } else { "the team".to_owned() };
        problems.extend(too_small(&name, &block.budget, costs.blocks[index], block.span));
    }
    for (node, cost) in team.nodes().iter().zip(&costs.nodes) {
        problems.extend(too_small(&format!("`{}`", node.label), &node.budget, *cost, node.span));
    }
}

fn too_small(name: &str, budget: &Budget, worst: WorstCase, span: Span) -> Option<Problem> {
    if budget.on_exhausted.is_some() {
        return None;
    }
    let (what, limit, needed) = match (budget.calls, budget.tokens) {
        (Some(calls), _) if calls < worst.calls => ("calls", calls, worst.calls),
        (_, Some(tokens)) if tokens < worst.tokens => ("tokens", tokens, worst.tokens),
        _ => return None,
    };
    let message = format!("the budget of {name} is {limit} {what}, its worst case {needed}");
    let help =
        format!("raise it to {needed}, or say what happens: `on_exhausted = \"last\"` (or `fail`, `skip`, `fallback`)");
    Some(Problem::new(Code::BudgetTooSmall, message, span).help(help))
}
