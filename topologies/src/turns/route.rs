//! Routers: dynamic D. The router's words say who speaks next, or that it is done.

use std::sync::Arc;

use serde_json::Value;

use super::frame::Place;
use super::message::written;
use super::{EndReason, Turns};
use crate::team::{BlockKind, NodeId, Routing, Team, Unparseable};

/// What a router said.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Targets(Vec<NodeId>),
    Done,
    Unclear,
}

impl Turns {
    /// The router has settled: opens the edges to those it named.
    pub(super) fn route(&mut self, place: Place) {
        let plan = Arc::clone(&self.plan);
        let block = self.frame(place.frame).block;
        let BlockKind::Routed(routing) = &plan.team.block(block).kind else { return };
        let round = self.frame(place.frame).round;
        let said = self.frame(place.frame).slots[place.slot as usize].in_round(round);
        let message = said.and_then(|said| said.messages.first()).map(|spoken| Arc::clone(&spoken.message));
        let choice =
            message.map_or(Choice::Unclear, |message| choice(&plan.team, routing, message.fields.get(&routing.field)));
        let router = plan.team.node(routing.router).name.clone();
        let targets = match (choice, routing.unparseable) {
            (Choice::Targets(targets), _) => {
                if !routing.returns {
                    self.frame_mut(place.frame).ending = Some(EndReason::Routed);
                }
                targets
            }
            (Choice::Done, _) => {
                self.frame_mut(place.frame).ending = Some(EndReason::RouterDone);
                Vec::new()
            }
            (Choice::Unclear, Unparseable::Default(target)) => {
                if !routing.returns {
                    self.frame_mut(place.frame).ending = Some(EndReason::Routed);
                }
                vec![target]
            }
            (Choice::Unclear, Unparseable::End) => {
                self.frame_mut(place.frame).ending = Some(EndReason::UnparseableRoute { router });
                Vec::new()
            }
            (Choice::Unclear, Unparseable::Fail) => return self.end(EndReason::UnparseableRoute { router }),
        };
        let slots = targets.into_iter().map(|target| plan.slot(target) as u32).collect();
        self.frame_mut(place.frame).named = slots;
    }
}

/// Reads a choice: a name, several in a list or between commas, or a word that ends the block.
fn choice(team: &Team, routing: &Routing, said: Option<&Value>) -> Choice {
    let names: Vec<String> = match said {
        None | Some(Value::Null) => return Choice::Unclear,
        Some(Value::Array(items)) => items.iter().map(|item| written(item).to_string()).collect(),
        Some(other) => written(other).split([',', ';', '\n']).map(str::to_owned).collect(),
    };
    let mut targets = Vec::new();
    for name in
        names.iter().map(|name| name.trim().trim_matches(['`', '"', '\'', '@', '.'])).filter(|name| !name.is_empty())
    {
        if routing.done.iter().any(|word| word.eq_ignore_ascii_case(name)) {
            // Done ends the block, unless somebody was named before.
            return if targets.is_empty() { Choice::Done } else { Choice::Targets(targets) };
        }
        let called = |target: &&NodeId| {
            let node = team.node(**target);
            node.label.eq_ignore_ascii_case(name) || node.name.eq_ignore_ascii_case(name)
        };
        // Naming one that does not exist beside others is a slip; naming only such is not a choice.
        for target in routing.targets.iter().filter(called) {
            if !targets.contains(target) && targets.len() < routing.several.max(1) as usize {
                targets.push(*target);
            }
        }
    }
    if targets.is_empty() { Choice::Unclear } else { Choice::Targets(targets) }
}
