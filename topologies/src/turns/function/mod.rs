//! Functions: nodes that compute, and programs that ask employed agents in waves.
//!
//! A program asks a wave of questions, waits for all of them, and asks the next or is done. So neither the numbering of
//! its calls nor its result can depend on the order of the answers.

mod canonical;
mod inputs;
mod judge;
mod rank;
mod tree;
mod vote;

use std::sync::Arc;

use serde_json::{Map, Value};

pub(super) use inputs::Input;
pub(super) use judge::{BestOf, number_in};
pub(super) use rank::Ranking;
pub(super) use tree::Search;
pub(super) use vote::{best_of, majority, vote};

use super::message::Message;
use super::turn::Brief;
use crate::expr::Guard;

/// What a function puts out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Product {
    pub(super) text: Arc<str>,
    pub(super) fields: Map<String, Value>,
    pub(super) value: Option<Value>,
}

impl Product {
    /// A product whose text says its value.
    pub(super) fn of(value: Value) -> Self {
        Self { text: super::message::written(&value), fields: Map::new(), value: Some(value) }
    }
}

/// What a program does next.
#[derive(Debug)]
pub(super) enum Step {
    /// Ask these, all at once.
    Ask(Vec<Brief>),
    /// Done: the product, or silence.
    Done(Option<Product>),
}

/// The answer to one question; `None` when the employee stayed silent.
pub(super) type Answer = Option<Arc<Message>>;

/// Evaluates a condition over a record of the program's own.
pub(super) type Holds<'a> = &'a dyn Fn(&Guard, Map<String, Value>) -> bool;

/// A function at work.
#[derive(Debug, Clone)]
pub(super) struct Program {
    task: Work,
    answers: Vec<Option<Answer>>,
    open: usize,
    /// Calls asked in earlier waves: the number of this wave's first.
    first: u32,
}

/// What is being computed.
#[derive(Debug, Clone)]
pub(super) enum Work {
    BestOf(BestOf),
    Rank(Ranking),
    Tree(Box<Search>),
    /// One call of a tool, whose result is the product.
    Tool,
    /// A memory's curator judging records one after another.
    Curate(Vec<(crate::team::MemoryId, Brief)>),
}

impl Program {
    pub(super) fn new(task: Work) -> Self {
        Self { task, answers: Vec::new(), open: 0, first: 0 }
    }

    /// The next wave, given the answers to the last. Returns the number of the wave's first call with it.
    pub(super) fn advance(&mut self, holds: Holds<'_>) -> (u32, Step) {
        self.first += self.answers.len() as u32;
        let answers: Vec<Answer> = std::mem::take(&mut self.answers).into_iter().map(Option::flatten).collect();
        let begun = self.first > 0;
        let step = match &mut self.task {
            Work::BestOf(program) => program.next(begun.then_some(&answers)),
            Work::Rank(program) => program.next(begun.then_some(&answers)),
            Work::Tree(program) => program.next(begun.then_some(&answers), holds),
            Work::Tool if begun => Step::Done(answers.first().cloned().flatten().map(|message| Product {
                text: Arc::clone(&message.text),
                fields: Map::new(),
                value: Some(serde_json::from_str(&message.text).unwrap_or_else(|_| Value::from(&*message.text))),
            })),
            Work::Tool => Step::Ask(vec![Brief::default()]),
            Work::Curate(records) => match records.get(self.first as usize) {
                Some((_, brief)) => Step::Ask(vec![brief.clone()]),
                None => Step::Done(None),
            },
        };
        if let Step::Ask(wave) = &step {
            self.open = wave.len();
            self.answers = vec![None; wave.len()];
        }
        (self.first, step)
    }

    /// Takes an answer; true when the wave is complete.
    pub(super) fn answer(&mut self, call: u32, answer: Answer) -> bool {
        self.answers[(call - self.first) as usize] = Some(answer);
        self.open -= 1;
        self.open == 0
    }

    /// The memory that a curator's call was about.
    pub(super) fn memory(&self, call: u32) -> Option<crate::team::MemoryId> {
        match &self.task {
            Work::Curate(records) => records.get(call as usize).map(|(memory, _)| *memory),
            _ => None,
        }
    }
}
