//! A small engine: asks a closure, answers in a chosen order.

use std::sync::Arc;

use marft_topologies::Team;
use marft_topologies::turns::{Ask, EndReason, Event, Inputs, Message, Observation, Plan, Said, Turn, Turns};

/// Reads a team that must be valid.
pub(crate) fn team(text: &str) -> Arc<Plan> {
    match Team::parse(text, "test.toml") {
        Ok(team) => Plan::new(Arc::new(team)),
        Err(report) => panic!("{}", report.render(false, 120)),
    }
}

/// What an episode came to.
pub(crate) struct Drive {
    pub(crate) turns: Turns,
    pub(crate) calls: usize,
    /// Turns of agents, tools not counted.
    pub(crate) words: usize,
    pub(crate) events: Vec<Event>,
    pub(crate) shown: Vec<(String, Observation)>,
}

impl Drive {
    /// Runs an episode; `order` picks which of the turns that are out is answered next.
    pub(crate) fn run_in(
        plan: &Arc<Plan>,
        inputs: impl Into<Inputs>,
        mut order: impl FnMut(usize) -> usize,
        mut answer: impl FnMut(&str, &Turn, &Observation) -> Said,
    ) -> Self {
        let mut turns = Turns::new(plan, inputs);
        let mut run = Self { turns: turns.clone(), calls: 0, words: 0, events: Vec::new(), shown: Vec::new() };
        let mut out: Vec<Turn> = Vec::new();
        while turns.ended().is_none() {
            out.extend(turns.take_ready());
            assert!(!out.is_empty(), "nothing is out, and the episode has not ended");
            let turn = out.remove(order(out.len()) % out.len());
            let shown = turns.observation(turn.id, &()).unwrap();
            let name = plan.team().node(turn.node).name.clone();
            let said = answer(&name, &turn, &shown);
            run.calls += said.calls as usize;
            run.words += usize::from(matches!(turn.ask, Ask::Words { .. }));
            run.shown.push((name, shown));
            turns.spoke(turn.id, said).unwrap();
            run.events.extend(turns.take_events());
        }
        run.events.extend(turns.take_events());
        run.turns = turns;
        run
    }

    /// Runs an episode, answering in canonical order.
    pub(crate) fn run(
        plan: &Arc<Plan>,
        inputs: impl Into<Inputs>,
        answer: impl Fn(&str, &Turn, &Observation) -> String,
    ) -> Self {
        Self::run_in(plan, inputs, |_| 0, |name, turn, shown| Said::text(answer(name, turn, shown)))
    }

    pub(crate) fn transcript(&self) -> Vec<(String, String)> {
        let team = self.turns.plan().team();
        let line = |message: &Arc<Message>| (team.node(message.node).name.clone(), message.text.to_string());
        self.turns.transcript().iter().map(line).collect()
    }

    pub(crate) fn speakers(&self) -> Vec<String> {
        self.transcript().into_iter().map(|line| line.0).collect()
    }

    pub(crate) fn output(&self) -> Option<&str> {
        self.turns.output().map(|message| &*message.text)
    }

    pub(crate) fn end(&self) -> &EndReason {
        self.turns.ended().unwrap()
    }
}
