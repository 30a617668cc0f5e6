//! Rounds and members: who may act, and with what it heard.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::frame::{Frame, FrameId, Phase, Place, Slot, Task};
use super::function::{BestOf, Input, Product, Program, Ranking, Search, Step, Work, best_of, majority, vote};
use super::map::{Items, check_plan};
use super::message::Heard;
use super::turn::Brief;
use super::{Duty, Event, Key, Message, Silence, Turns};
use crate::expr::Guard;
use crate::team::{BlockId, EdgeOrigin, Function, ListSource, MapOrder, NodeId, NodeKind, Op, Score};

impl Turns {
    /// Works off everything that is set off, until only answers from outside can go on.
    pub(super) fn run(&mut self) {
        loop {
            while let Some(duty) = self.agenda.pop_front() {
                if self.end.is_some() {
                    self.agenda.clear();
                    return;
                }
                match duty {
                    Duty::Act(frame, slot) => self.act(frame, slot),
                    Duty::EndRound(frame) => self.end_round(frame),
                    Duty::Finish(place, message) => self.finish(place, message),
                }
            }
            if self.end.is_some() || !self.plan.budgeted || !self.release() {
                return;
            }
        }
    }

    /// Starts a run of a block.
    pub(super) fn open_frame(
        &mut self,
        block: BlockId,
        parent: Option<Place>,
        prefix: Vec<u32>,
        task: Arc<Task>,
        names: Arc<Map<String, Value>>,
    ) -> FrameId {
        let members = self.plan.blocks[block.index()].order.len();
        let frame = Frame {
            block,
            parent,
            prefix,
            task,
            names,
            round: 0,
            open: 0,
            slots: vec![Slot::default(); members],
            named: Vec::new(),
            ending: None,
            kept: super::frame::Kept::default(),
            best: None,
            spent: super::budget::Spent::default(),
            reserved: super::budget::Spent::default(),
            out: 0,
        };
        let id = self.free.pop().unwrap_or_else(|| {
            self.frames.push(None);
            FrameId(self.frames.len() as u32 - 1)
        });
        self.frames[id.index()] = Some(frame);
        self.start_round(id);
        id
    }

    /// All members wait anew; those that wait for nobody act.
    pub(super) fn start_round(&mut self, id: FrameId) {
        let plan = Arc::clone(&self.plan);
        let frame = self.frame_mut(id);
        let block = &plan.blocks[frame.block.index()];
        let oldest = frame.round.saturating_sub(block.horizon);
        frame.open = frame.slots.len() as u32;
        frame.named.clear();
        for (slot, waits) in frame.slots.iter_mut().zip(&block.waits) {
            slot.phase = Phase::Waiting;
            slot.waiting = *waits;
            slot.cursor = 0;
            slot.forget(oldest);
        }
        for (slot, waits) in block.waits.iter().enumerate() {
            if *waits == 0 {
                self.agenda.push_back(Duty::Act(id, slot as u32));
            }
        }
    }

    /// A member acts, if its join, its guard and its in-edges let it.
    fn act(&mut self, id: FrameId, slot: u32) {
        let Some(frame) = self.frames[id.index()].as_ref() else { return };
        let state = &frame.slots[slot as usize];
        if state.phase != Phase::Waiting || state.waiting > 0 {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let node_id = plan.blocks[frame.block.index()].order[slot as usize];
        let node = plan.team.node(node_id);
        let place = Place { frame: id, slot, item: None };
        let router = plan.blocks[frame.block.index()].router;
        if router.is_some_and(|router| router != slot) && !frame.named.contains(&slot) {
            // Targets wait for the router; what it did not name stays silent.
            return self.silence(place, Silence::NotNamed);
        }
        let heard = match plan.first_k(node_id) {
            None => {
                let heard = self.hear_all(place, node_id);
                let prompt = plan.nodes[node_id.index()].prompt_edges;
                let on_time = heard.iter().any(|heard| plan.team.edge(heard.edge).delay == 0);
                if if prompt > 0 { !on_time } else { heard.is_empty() && !node.sees_task } {
                    return self.silence(place, Silence::DeadPath);
                }
                heard
            }
            Some(k) => match self.hear_first(place, node_id, k as usize) {
                Join::Waits => return,
                Join::Fails => return self.silence(place, Silence::Join),
                Join::Holds(heard) => heard,
            },
        };
        let state = &mut self.frame_mut(id).slots[slot as usize];
        state.phase = Phase::Acting;
        state.heard = Some(heard.into());
        if let Some(when) = &node.when
            && !self.holds(place, node_id, when, Map::new())
        {
            return self.silence(place, Silence::When);
        }
        match &node.map {
            None => self.start(place),
            Some(_) => self.start_map(place, node_id),
        }
    }

    fn hear_all(&self, place: Place, node: NodeId) -> Vec<Heard> {
        let edges = self.plan.incoming(node).iter();
        edges.flat_map(|edge| self.hear(place, *edge)).collect()
    }

    fn hear(&self, place: Place, edge: crate::team::EdgeId) -> impl Iterator<Item = Heard> + use<> {
        self.delivered(place, edge).into_iter().map(move |message| Heard { edge, message })
    }

    /// The first k deliveries in declared order, as soon as every edge before the k-th is resolved.
    fn hear_first(&mut self, place: Place, node: NodeId, k: usize) -> Join {
        let plan = Arc::clone(&self.plan);
        let edges = plan.incoming(node);
        let frame = self.frame(place.frame);
        let mut cursor = frame.slots[place.slot as usize].cursor as usize;
        while let Some(edge) = edges.get(cursor) {
            let known = plan.edges[edge.index()];
            // Delayed edges and edges from outside of the block are resolved before the round starts.
            let inside = known.inside && plan.team.edge(*edge).delay == 0;
            if inside && frame.slots[known.from as usize].phase != Phase::Settled {
                break;
            }
            cursor += 1;
        }
        let mut heard: Vec<_> = edges[..cursor].iter().flat_map(|edge| self.hear(place, *edge)).collect();
        self.frame_mut(place.frame).slots[place.slot as usize].cursor = cursor as u32;
        if heard.len() >= k {
            heard.truncate(k);
            return Join::Holds(heard);
        }
        if cursor < edges.len() { Join::Waits } else { Join::Fails }
    }

    /// Whether a condition of a node holds; one that has no value does not, and is reported.
    pub(super) fn holds(&mut self, place: Place, node: NodeId, guard: &Guard, given: Map<String, Value>) -> bool {
        let scope = self.scope_of(place, node, guard.expression(), given);
        guard.holds(&scope).unwrap_or_else(|error| {
            let message = format!("`{}`: {error}", guard.source());
            self.events.push(Event::Unevaluated { node, edge: None, message });
            false
        })
    }

    /// Starts one instance of a node.
    pub(super) fn start(&mut self, place: Place) {
        let plan = Arc::clone(&self.plan);
        let block = self.frame(place.frame).block;
        let node = plan.blocks[block.index()].order[place.slot as usize];
        match &plan.team.node(node).kind {
            NodeKind::Agent(_) => self.ask(place, node, 0, None),
            NodeKind::Function(function) => self.compute(place, node, function),
            NodeKind::Block(inner) => self.enter(place, node, *inner),
        }
    }

    fn enter(&mut self, place: Place, node: NodeId, inner: BlockId) {
        let frame = self.frame(place.frame);
        let prefix = self.prefix(place);
        let names = match (&frame.slots[place.slot as usize].items, place.item) {
            (Some(items), Some(item)) => {
                let mut names = (*frame.names).clone();
                names.extend(items.names(item));
                Arc::new(names)
            }
            _ => Arc::clone(&frame.names),
        };
        let opens_space = self.plan.blocks[inner.index()].space == inner;
        let task = if opens_space { Arc::new(self.input_of(place, node)) } else { Arc::clone(&frame.task) };
        self.open_frame(inner, Some(place), prefix, task, names);
    }

    /// The task that the members of an inner team see: what its node sees, fused.
    fn input_of(&self, place: Place, node: NodeId) -> Task {
        let frame = self.frame(place.frame);
        let declared = self.plan.team.node(node);
        let slot = &frame.slots[place.slot as usize];
        let heard = slot.heard.clone().unwrap_or_default();
        let outer = self.task_of(frame, node);
        let mut fields = outer.fields.clone();
        let mut parts = Vec::new();
        if declared.sees_task {
            parts.push(outer.text.clone());
        }
        if let (Some(map), Some(items), Some(item)) = (&declared.map, &slot.items, place.item)
            && let Some(value) = items.name(item, &map.item)
        {
            parts.push(super::observe::item_text(&value));
            fields.insert(map.item.clone(), value);
        }
        let alone = parts.is_empty() && heard.len() == 1;
        for heard in &*heard {
            let edge = self.plan.team.edge(heard.edge);
            let text = heard.message.carried(&self.plan.team, heard.edge).unwrap_or_default();
            match edge.origin {
                EdgeOrigin::Over => {}
                _ if alone => parts.push(text.to_string()),
                _ => parts.push(format!("{}: {text}", self.plan.team.node(edge.from).name)),
            }
        }
        Task { text: parts.join("\n\n"), fields }
    }

    fn start_map(&mut self, place: Place, node: NodeId) {
        let plan = Arc::clone(&self.plan);
        let Some(map) = &plan.team.node(node).map else { return };
        let heard = self.frame(place.frame).slots[place.slot as usize].heard.clone().unwrap_or_default();
        let mut values = match &map.over {
            ListSource::Nodes { .. } => {
                let over = heard.iter().filter(|heard| plan.team.edge(heard.edge).origin == EdgeOrigin::Over);
                let over: Vec<_> = over.cloned().collect();
                Input::list(&plan.team, node, &over, None).0.into_iter().map(|input| input.value).collect()
            }
            ListSource::State(variable) => list(&self.state[variable.index()]),
            ListSource::Task(field) => {
                let task = self.task_of(self.frame(place.frame), node);
                task.fields.get(field).map(list).unwrap_or_default()
            }
        };
        if let MapOrder::Dag { max_depth } = map.order
            && let Err(message) = check_plan(&values, map.max, max_depth)
        {
            self.events.push(Event::Unevaluated { node, edge: None, message });
            return self.silence(place, Silence::NoItems);
        }
        if values.len() > map.max as usize {
            self.events.push(Event::Dropped { node, items: values.len() - map.max as usize });
            values.truncate(map.max as usize);
        }
        if values.is_empty() {
            return self.silence(place, Silence::NoItems);
        }
        let items = Items::new(values, &map.item, map.order, map.concurrency);
        self.frame_mut(place.frame).slots[place.slot as usize].items = Some(Box::new(items));
        self.start_items(place.frame, place.slot);
    }

    /// Starts the items of a map that may run now.
    pub(super) fn start_items(&mut self, frame: FrameId, slot: u32) {
        loop {
            let Some(live) = self.frames[frame.index()].as_mut() else { return };
            let Some(item) = live.slots[slot as usize].items.as_mut().and_then(|items| items.start()) else { return };
            self.start(Place { frame, slot, item: Some(item) });
        }
    }

    /// Computes a function, or starts the program that asks its employees.
    fn compute(&mut self, place: Place, node: NodeId, function: &Function) {
        let plan = Arc::clone(&self.plan);
        let frame = self.frame(place.frame);
        let task = self.task_of(frame, node).text.clone();
        let heard = frame.slots[place.slot as usize].heard.clone().unwrap_or_default();
        // Under a map, the item is the input.
        let (inputs, dropped) = match (&frame.slots[place.slot as usize].items, place.item) {
            (Some(items), Some(item)) => {
                let name = plan.team.node(node).map.as_ref().map_or("item", |map| map.item.as_str());
                let value = items.name(item, name).unwrap_or_default();
                (vec![Input::of_item(&value)], 0)
            }
            _ => Input::list(&plan.team, node, &heard, function.max),
        };
        if dropped > 0 {
            self.events.push(Event::Dropped { node, items: dropped });
        }
        let draw = Key::new(&self.prefix(place), &[]).stream(self.seed);
        let product = match &function.op {
            Op::Majority { canonical, tie } => majority(&inputs, *canonical, *tie, draw),
            Op::Vote { weight, canonical, tie } => vote(&inputs, weight, *canonical, *tie, draw),
            Op::BestOf { score: Score::Field(field), tie } => best_of(&inputs, field, *tie, draw),
            Op::Concat { separator, template } => self.concat(node, &inputs, separator, template.as_deref()),
            Op::Transform(expression) => {
                let mut scope = self.heard_scope(place, node, expression, &heard);
                let records = inputs.iter().map(|input| Value::Object(input.record.clone())).collect();
                scope.insert("inputs".into(), Value::Array(records));
                match expression.eval(&scope) {
                    Ok(Value::Null) => None,
                    Ok(value) => Some(Product::of(value)),
                    Err(error) => {
                        let message = format!("`{}`: {error}", expression.source());
                        self.events.push(Event::Unevaluated { node, edge: None, message });
                        None
                    }
                }
            }
            Op::BestOf { score: Score::Judge(judge), tie } => {
                let work = BestOf { judge: *judge, task, inputs, tie: *tie, draw };
                return self.start_program(place, node, Program::new(Work::BestOf(work)));
            }
            Op::Rank { method, judge, keep } => {
                let work = Ranking::new(*judge, *method, task, inputs, *keep);
                return self.start_program(place, node, Program::new(Work::Rank(work)));
            }
            Op::Tree(tree) => {
                let given: Vec<_> = inputs.iter().map(|input| &*input.text).collect();
                let task = std::iter::once(task.as_str()).chain(given).collect::<Vec<_>>().join("\n\n");
                let work = Search::new(tree.clone(), task);
                return self.start_program(place, node, Program::new(Work::Tree(Box::new(work))));
            }
            Op::Tool { .. } => return self.start_program(place, node, Program::new(Work::Tool)),
        };
        self.produced(place, node, product);
    }

    fn concat(
        &mut self,
        node: NodeId,
        inputs: &[Input],
        separator: &str,
        template: Option<&crate::template::Template>,
    ) -> Option<Product> {
        if inputs.is_empty() {
            return None;
        }
        let mut parts = Vec::with_capacity(inputs.len());
        for input in inputs {
            let Some(template) = template else {
                parts.push(input.text.to_string());
                continue;
            };
            let message = super::scope::speech(input.record.clone());
            let from = input.record.get("from").and_then(Value::as_str);
            let scope = minijinja::context! { message => message, from => from };
            match self.plan.library.render(template, &scope) {
                Ok(text) => parts.push(text),
                Err(error) => {
                    self.events.push(Event::Unevaluated { node, edge: None, message: error.to_string() });
                    return None;
                }
            }
        }
        Some(Product { text: parts.join(separator).into(), ..Product::default() })
    }

    pub(super) fn start_program(&mut self, place: Place, node: NodeId, program: Program) {
        self.frame_mut(place.frame).slots[place.slot as usize].programs.push((place.item, program));
        self.advance_program(place, node);
    }

    /// Asks the next wave of a program, or takes its product.
    pub(super) fn advance_program(&mut self, place: Place, node: NodeId) {
        let programs = &mut self.frame_mut(place.frame).slots[place.slot as usize].programs;
        let Some(at) = programs.iter().position(|(item, _)| *item == place.item) else { return };
        let (item, mut program) = programs.swap_remove(at);
        let failures = std::cell::RefCell::new(Vec::new());
        let (first, step) = {
            let holds = |guard: &Guard, given: Map<String, Value>| {
                let scope = self.scope_of(place, node, guard.expression(), given);
                guard.holds(&scope).unwrap_or_else(|error| {
                    failures.borrow_mut().push(format!("`{}`: {error}", guard.source()));
                    false
                })
            };
            program.advance(&holds)
        };
        let failures = failures.into_inner().into_iter();
        self.events.extend(failures.map(|message| Event::Unevaluated { node, edge: None, message }));
        match step {
            Step::Done(product) => match self.frame(place.frame).slots[place.slot as usize].settling {
                Some(_) => self.settled(place),
                None => self.produced(place, node, product),
            },
            Step::Ask(wave) => {
                self.frame_mut(place.frame).slots[place.slot as usize].programs.push((item, program));
                for (at, brief) in wave.into_iter().enumerate() {
                    let asked = brief.node.unwrap_or(node);
                    self.ask(place, asked, first + at as u32, Some(Arc::new(brief) as Arc<Brief>));
                }
            }
        }
    }

    /// A function has its result.
    fn produced(&mut self, place: Place, node: NodeId, product: Option<Product>) {
        let Some(product) = product else {
            self.note_silence(node, place, Silence::NoResult);
            self.agenda.push_back(Duty::Finish(place, None));
            return;
        };
        let frame = self.frame(place.frame);
        let message = Message {
            heard: frame.slots[place.slot as usize].heard.clone().unwrap_or_default(),
            fields: product.fields,
            value: product.value,
            ..self.message(place, node, Arc::clone(&product.text))
        };
        let message = self.record(message);
        self.agenda.push_back(Duty::Finish(place, Some(message)));
    }
}

enum Join {
    Waits,
    Fails,
    Holds(Vec<Heard>),
}

fn list(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        Value::Null => Vec::new(),
        single => vec![single.clone()],
    }
}
