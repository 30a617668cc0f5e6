//! Budgets: what a scope has spent, and which turns it still admits.
//!
//! Turns of a scope with a counted limit (calls, tokens, money) are let out in waves: when nothing of the scope is out,
//! those that are ready are admitted in canonical order as far as the rest of the budget covers the most they can cost.
//! What was really spent is settled when the wave is over. So where a budget runs out never depends on the order of
//! answers, and no limit is overdrawn. A token limit clips `max_tokens` of the last turn that fits.

use super::frame::FrameId;
use super::turn::{Ask, Status};
use super::{Event, Limit, Said, TurnId, Turns};
use crate::team::{Budget, Node, Outcome, Team};

/// Counters of a scope.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) calls: u64,
    pub(super) tokens: u64,
    pub(super) cost: f64,
}

impl Spent {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.tokens += other.tokens;
        self.cost += other.cost;
    }

    fn take(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.tokens = self.tokens.saturating_sub(other.tokens);
    }
}

/// A scope with a counted limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gate {
    frame: FrameId,
    /// A member of the frame's block; `None` for the block itself.
    slot: Option<u32>,
}

fn counted(budget: &Budget) -> bool {
    budget.calls.is_some() || budget.tokens.is_some() || budget.cost.is_some()
}

impl Turns {
    /// The scopes a turn counts against, outermost first.
    pub(super) fn gates(&self, frame: FrameId, slot: u32) -> Vec<Gate> {
        let mut gates = Vec::new();
        let (mut frame, mut slot) = (frame, slot);
        loop {
            let found = self.frame(frame);
            let block = self.plan.team.block(found.block);
            let member = self.plan.blocks[found.block.index()].order[slot as usize];
            if counted(&self.plan.team.node(member).budget) {
                gates.push(Gate { frame, slot: Some(slot) });
            }
            if counted(&block.budget) {
                gates.push(Gate { frame, slot: None });
            }
            let Some(parent) = found.parent else { break };
            (frame, slot) = (parent.frame, parent.slot);
        }
        gates.reverse();
        gates
    }

    fn counters(&mut self, gate: Gate) -> (&mut Spent, &mut Spent, &mut u32) {
        let frame = self.frame_mut(gate.frame);
        match gate.slot {
            None => (&mut frame.spent, &mut frame.reserved, &mut frame.out),
            Some(slot) => {
                let slot = &mut frame.slots[slot as usize];
                (&mut slot.spent, &mut slot.reserved, &mut slot.out)
            }
        }
    }

    fn budget(&self, gate: Gate) -> &Budget {
        let block = self.frame(gate.frame).block;
        match gate.slot {
            None => &self.plan.team.block(block).budget,
            Some(slot) => &self.member(block, slot).budget,
        }
    }

    pub(super) fn member(&self, block: crate::team::BlockId, slot: u32) -> &Node {
        self.plan.team.node(self.plan.blocks[block.index()].order[slot as usize])
    }

    /// Lets held turns out as far as their budgets go. True when a budget ran out, which sets off more.
    pub(super) fn release(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let mut held = std::mem::take(&mut self.held);
        held.retain(|turn| self.turns[turn.0 as usize].status == Status::Held);
        held.sort_by(|left, right| self.turns[left.0 as usize].turn.key.cmp(&self.turns[right.0 as usize].turn.key));
        // A wave starts where nothing of the outermost scope is out.
        let quiet: Vec<bool> = held
            .iter()
            .map(|turn| {
                let gate = self.turns[turn.0 as usize].gates[0];
                *self.counters(gate).2 == 0
            })
            .collect();
        for at in 0..held.len() {
            if !quiet[at] {
                continue;
            }
            match self.admit(held[at]) {
                Admission::Admitted => self.ready.push(held[at]),
                Admission::Later => {}
                Admission::Never(gate, limit) => {
                    held.retain(|turn| self.turns[turn.0 as usize].status == Status::Held);
                    self.held = held;
                    self.exhausted(gate, limit);
                    return true;
                }
            }
        }
        held.retain(|turn| self.turns[turn.0 as usize].status == Status::Held);
        self.held = held;
        false
    }

    fn admit(&mut self, id: TurnId) -> Admission {
        let at = id.0 as usize;
        let gates = self.turns[at].gates.clone();
        let mut ask = self.turns[at].turn.ask.clone();
        for gate in &gates {
            let budget = self.budget(*gate).clone();
            let (spent, reserved, out) = self.counters(*gate);
            let (spent, reserved, others) = (*spent, *reserved, *out > 0);
            let no = |limit| if others { Admission::Later } else { Admission::Never(*gate, limit) };
            let left = |limit: Option<u64>, spent: u64, reserved: u64| {
                limit.map_or(u64::MAX, |limit| limit.saturating_sub(spent).saturating_sub(reserved))
            };
            if let Ask::Words { sampling, max_tool_calls, .. } = &mut ask {
                let calls = left(budget.calls, spent.calls, reserved.calls);
                let tokens = left(budget.tokens, spent.tokens, reserved.tokens);
                if calls == 0 {
                    return no(Limit::Calls);
                }
                if tokens == 0 {
                    return no(Limit::Tokens);
                }
                // While others hold a reservation more may come free: only a lone turn is cut down to what is left.
                let wants_calls = u64::from(*max_tool_calls) + 1;
                let wants_tokens = u64::from(sampling.max_tokens).saturating_mul(wants_calls);
                if others && (calls < wants_calls || tokens < wants_tokens) {
                    return Admission::Later;
                }
                *max_tool_calls = (*max_tool_calls).min(u32::try_from(calls - 1).unwrap_or(u32::MAX));
                let each = (tokens / (u64::from(*max_tool_calls) + 1)).max(1);
                sampling.max_tokens = sampling.max_tokens.min(u32::try_from(each).unwrap_or(u32::MAX));
            }
            if budget.cost.is_some_and(|cost| spent.cost >= cost) {
                return no(Limit::Cost);
            }
        }
        let reserve = match &ask {
            Ask::Words { sampling, max_tool_calls, .. } => {
                let calls = u64::from(*max_tool_calls) + 1;
                Spent { calls, tokens: u64::from(sampling.max_tokens) * calls, cost: 0.0 }
            }
            Ask::Tool { .. } => Spent::default(),
        };
        for gate in &gates {
            let (_, reserved, out) = self.counters(*gate);
            reserved.add(reserve);
            *out += 1;
        }
        let state = &mut self.turns[at];
        (state.turn.ask, state.reserved, state.status) = (ask, reserve, Status::Ready);
        Admission::Admitted
    }

    /// Books what an answered turn really cost.
    pub(super) fn settle_cost(&mut self, id: TurnId, said: Option<&Said>) {
        let state = &mut self.turns[id.0 as usize];
        let (gates, reserve) = (std::mem::take(&mut state.gates), state.reserved);
        let real = said.map_or(Spent::default(), |said| Spent {
            calls: u64::from(said.calls),
            tokens: u64::from(said.tokens),
            cost: said.cost,
        });
        self.total.add(real);
        for gate in gates {
            let (spent, reserved, out) = self.counters(gate);
            spent.add(real);
            reserved.take(reserve);
            *out = out.saturating_sub(1);
        }
    }

    /// A budget ran out: its declared outcome takes the place of what was to come.
    fn exhausted(&mut self, gate: Gate, limit: Limit) {
        let outcome = self.budget(gate).on_exhausted.clone().unwrap_or(Outcome::Fail);
        let block = self.frame(gate.frame).block;
        let of = match gate.slot {
            None => self.plan.team.block(block).name.clone(),
            Some(slot) => self.member(block, slot).name.clone(),
        };
        self.events.push(Event::Exhausted { of: of.clone(), limit, outcome: outcome.clone() });
        let reason = super::EndReason::BudgetExhausted { of, limit };
        match (outcome, gate.slot) {
            (Outcome::Fail, _) => self.end(reason),
            (outcome, None) => self.cut_block(gate.frame, reason, &outcome),
            (outcome, Some(slot)) => self.cut_node(gate.frame, slot, &outcome),
        }
        self.run();
    }

    /// The engine's clock or purse says that a budget of the team's block or node is used up. Every run of it that is
    /// under way ends with the declared outcome; its turns that are out are withdrawn.
    pub fn exhaust(&mut self, scope: Scope, limit: Limit) {
        let live =
            (0..self.frames.len()).map(|at| FrameId(at as u32)).filter(|frame| self.frames[frame.index()].is_some());
        let gates: Vec<_> = match scope {
            Scope::Block(block) => {
                live.filter(|frame| self.frame(*frame).block == block).map(|frame| Gate { frame, slot: None }).collect()
            }
            Scope::Node(node) => {
                let block = self.plan.team.node(node).block;
                let slot = Some(self.plan.slot(node) as u32);
                live.filter(|frame| self.frame(*frame).block == block).map(|frame| Gate { frame, slot }).collect()
            }
        };
        for gate in gates {
            let alive = self.frames[gate.frame.index()].is_some();
            let acting = gate.slot.is_none_or(|slot| {
                alive && self.frame(gate.frame).slots[slot as usize].phase == super::frame::Phase::Acting
            });
            if self.end.is_none() && alive && acting {
                self.exhausted(gate, limit);
            }
        }
    }

    /// Calls, tokens and money spent so far in this episode.
    pub fn spent(&self) -> (u64, u64, f64) {
        (self.total.calls, self.total.tokens, self.total.cost)
    }
}

enum Admission {
    Admitted,
    /// When the wave that is out is over.
    Later,
    Never(Gate, Limit),
}

/// Whose budget it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// A block: the team itself is [`Team::ROOT`].
    Block(crate::team::BlockId),
    /// A node.
    Node(crate::team::NodeId),
}

impl Default for Scope {
    fn default() -> Self {
        Self::Block(Team::ROOT)
    }
}
