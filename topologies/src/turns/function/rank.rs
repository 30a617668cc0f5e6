//! Ranking by an employed judge: pointwise, pairwise, in sliding windows, or as a tournament.

use std::cmp::Reverse;

use serde_json::{Map, Value};

use super::judge::{score, scoring};
use super::{Answer, Input, Product, Step};
use crate::team::{NodeId, RankMethod};
use crate::turns::turn::Brief;

/// A ranking under way.
#[derive(Debug, Clone)]
pub(in crate::turns) struct Ranking {
    judge: NodeId,
    method: RankMethod,
    task: String,
    inputs: Vec<Input>,
    keep: Option<u32>,
    /// Positions of the inputs, best first as far as known.
    order: Vec<usize>,
    /// What the wave that is out compares: pairs, or the start of a window.
    pairs: Vec<(usize, usize)>,
    window: Option<usize>,
    /// Tournament: who is still in; those knocked out, last round first.
    alive: Vec<usize>,
    out: Vec<Vec<usize>>,
}

impl Ranking {
    pub(in crate::turns) fn new(
        judge: NodeId,
        method: RankMethod,
        task: String,
        inputs: Vec<Input>,
        keep: Option<u32>,
    ) -> Self {
        let order: Vec<_> = (0..inputs.len()).collect();
        let alive = order.clone();
        Self { judge, method, task, inputs, keep, order, pairs: Vec::new(), window: None, alive, out: Vec::new() }
    }

    pub(super) fn next(&mut self, answers: Option<&Vec<Answer>>) -> Step {
        if self.inputs.is_empty() {
            return Step::Done(None);
        }
        let asked = match self.method {
            RankMethod::Pointwise => self.pointwise(answers),
            RankMethod::Pairwise { swap } => self.pairwise(answers, swap),
            RankMethod::Listwise { window, step } => self.listwise(answers, window as usize, step as usize),
            RankMethod::Tournament => self.tournament(answers),
        };
        asked.filter(|wave| !wave.is_empty()).map_or_else(|| Step::Done(Some(self.product())), Step::Ask)
    }

    fn pointwise(&mut self, answers: Option<&Vec<Answer>>) -> Option<Vec<Brief>> {
        let Some(answers) = answers else { return Some(scoring(self.judge, &self.task, &self.inputs)) };
        let scores: Vec<_> = answers.iter().map(|answer| score(answer, "score").unwrap_or(f64::NEG_INFINITY)).collect();
        self.order.sort_by(|left, right| scores[*right].total_cmp(&scores[*left]));
        None
    }

    fn pairwise(&mut self, answers: Option<&Vec<Answer>>, swap: bool) -> Option<Vec<Brief>> {
        let Some(answers) = answers else {
            let count = self.inputs.len();
            let pairs = (0..count).flat_map(|left| (left + 1..count).map(move |right| (left, right)));
            self.pairs = pairs.flat_map(|(a, b)| if swap { vec![(a, b), (b, a)] } else { vec![(a, b)] }).collect();
            return Some(self.pairs.iter().map(|pair| self.pair(*pair)).collect());
        };
        let mut wins = vec![0_u32; self.inputs.len()];
        for ((first, second), answer) in self.pairs.iter().zip(answers) {
            match better(answer) {
                Some(true) => wins[*first] += 1,
                Some(false) => wins[*second] += 1,
                None => {}
            }
        }
        self.order.sort_by_key(|at| Reverse(wins[*at]));
        None
    }

    fn listwise(&mut self, answers: Option<&Vec<Answer>>, window: usize, step: usize) -> Option<Vec<Brief>> {
        let (window, step) = (window.max(2), step.max(1));
        let start = match (answers, self.window) {
            (Some(answers), Some(start)) => {
                let end = (start + window).min(self.order.len());
                reorder(&mut self.order[start..end], answers.first().cloned().flatten().as_deref());
                if start == 0 {
                    return None;
                }
                start.saturating_sub(step)
            }
            _ => self.order.len().saturating_sub(window),
        };
        self.window = Some(start);
        let end = (start + window).min(self.order.len());
        let shown: Vec<_> = self.order[start..end].iter().map(|at| &self.inputs[*at]).collect();
        let lines: Vec<_> =
            shown.iter().enumerate().map(|(at, input)| format!("[{}] {}", at + 1, input.text)).collect();
        let records = shown.iter().map(|input| Value::Object(input.record.clone())).collect();
        Some(vec![Brief {
            node: Some(self.judge),
            text: format!("{}\n\n{}\n\nList the numbers from best to worst.", self.task, lines.join("\n")),
            names: Map::from_iter([("candidates".to_owned(), Value::Array(records))]),
        }])
    }

    fn tournament(&mut self, answers: Option<&Vec<Answer>>) -> Option<Vec<Brief>> {
        if let Some(answers) = answers {
            let mut lost = Vec::new();
            for ((first, second), answer) in self.pairs.iter().zip(answers) {
                lost.push(if better(answer).unwrap_or(true) { *second } else { *first });
            }
            self.alive.retain(|at| !lost.contains(at));
            self.out.push(lost);
        }
        if self.alive.len() < 2 {
            let out = self.out.iter().rev().flatten();
            self.order = self.alive.iter().chain(out).copied().collect();
            return None;
        }
        // An odd one out goes through to the next round.
        self.pairs = self.alive.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        Some(self.pairs.iter().map(|pair| self.pair(*pair)).collect())
    }

    fn pair(&self, (first, second): (usize, usize)) -> Brief {
        let (first, second) = (&self.inputs[first], &self.inputs[second]);
        Brief {
            node: Some(self.judge),
            text: format!("{}\n\n[1] {}\n[2] {}\n\nWhich is better, 1 or 2?", self.task, first.text, second.text),
            names: Map::from_iter([
                ("first".to_owned(), Value::Object(first.record.clone())),
                ("second".to_owned(), Value::Object(second.record.clone())),
            ]),
        }
    }

    fn product(&self) -> Product {
        let kept = self.keep.map_or(self.order.len(), |keep| self.order.len().min(keep as usize));
        let kept = &self.order[..kept];
        let texts: Vec<_> = kept.iter().map(|at| &*self.inputs[*at].text).collect();
        let values = kept.iter().map(|at| self.inputs[*at].value.clone()).collect();
        let order = kept.iter().map(|at| Value::from(*at)).collect();
        let fields = Map::from_iter([("order".to_owned(), Value::Array(order))]);
        Product { text: texts.join("\n\n").into(), fields, value: Some(Value::Array(values)) }
    }
}

/// Whether the judge prefers the first of a pair; `None` when it says neither.
fn better(answer: &Answer) -> Option<bool> {
    let message = answer.as_deref()?;
    let said = match message.fields.get("better") {
        Some(value) => crate::turns::message::written(value),
        None => std::sync::Arc::clone(&message.public),
    };
    said.chars().rev().find_map(|sign| match sign {
        '1' => Some(true),
        '2' => Some(false),
        _ => None,
    })
}

/// Reorders a window by the judge's list of numbers from 1; what it leaves out keeps its order at the end.
fn reorder(window: &mut [usize], answer: Option<&crate::turns::message::Message>) {
    let Some(message) = answer else { return };
    let numbers: Vec<usize> = match message.fields.get("order") {
        Some(Value::Array(items)) => {
            items.iter().filter_map(|item| super::number_in(&item.to_string())).map(|n| n as usize).collect()
        }
        Some(other) => digits(&crate::turns::message::written(other)),
        None => digits(&message.public),
    };
    let mut sorted = Vec::with_capacity(window.len());
    for number in numbers {
        if let Some(at) = number.checked_sub(1).and_then(|at| window.get(at))
            && !sorted.contains(at)
        {
            sorted.push(*at);
        }
    }
    let rest: Vec<_> = window.iter().copied().filter(|at| !sorted.contains(at)).collect();
    sorted.extend(rest);
    window.copy_from_slice(&sorted);
}

fn digits(text: &str) -> Vec<usize> {
    text.split(|sign: char| !sign.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::turns::message::Message;

    fn inputs(texts: &[&str]) -> Vec<Input> {
        let input =
            |text: &&str| Input { text: (*text).into(), value: Value::from(*text), record: Map::new(), message: None };
        texts.iter().map(input).collect()
    }

    #[expect(clippy::unnecessary_wraps, reason = "an answer may be missing")]
    fn says(text: &str) -> Answer {
        Some(Arc::new(Message::plain(NodeId(0), text)))
    }

    /// Runs a ranking with a judge that prefers larger numbers; gives the order and the number of calls.
    fn run(method: RankMethod, texts: &[&str]) -> (Vec<String>, usize) {
        let mut ranking = Ranking::new(NodeId(0), method, String::new(), inputs(texts), None);
        let (mut answers, mut calls): (Option<Vec<Answer>>, usize) = (None, 0);
        loop {
            match ranking.next(answers.as_ref()) {
                Step::Done(product) => {
                    let value = product.unwrap().value.unwrap();
                    return (
                        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect(),
                        calls,
                    );
                }
                Step::Ask(wave) => {
                    calls += wave.len();
                    answers = Some(wave.iter().map(|brief| says(&verdict(&brief.text))).collect());
                }
            }
        }
    }

    fn verdict(question: &str) -> String {
        if let Some(candidate) = question.split("Candidate:\n").nth(1) {
            return candidate.lines().next().unwrap().to_owned();
        }
        let mut shown: Vec<(u32, u32)> = question
            .lines()
            .filter_map(|line| line.strip_prefix('[')?.split_once("] "))
            .map(|(number, text)| (text.parse().unwrap(), number.parse().unwrap()))
            .collect();
        shown.sort_unstable();
        let best_first: Vec<_> = shown.iter().rev().map(|(_, number)| number.to_string()).collect();
        if question.contains("Which is better") { best_first[0].clone() } else { best_first.join(" > ") }
    }

    /// Calls: n, n(n-1)/2 (twice with both orders), ceil((n-w)/s)+1, n-1.
    #[test]
    fn every_method_finds_the_best_with_as_many_calls_as_it_should_take() {
        let texts = ["3", "1", "5", "2", "4"];
        assert_eq!(
            run(RankMethod::Pointwise, &texts),
            (vec!["5", "4", "3", "2", "1"].into_iter().map(String::from).collect(), 5)
        );
        let (order, calls) = run(RankMethod::Pairwise { swap: false }, &texts);
        assert_eq!((order.join(""), calls), ("54321".to_owned(), 10));
        assert_eq!(run(RankMethod::Pairwise { swap: true }, &texts).1, 20);
        let (order, calls) = run(RankMethod::Listwise { window: 3, step: 2 }, &texts);
        assert_eq!((order[0].as_str(), calls), ("5", 2));
        let (order, calls) = run(RankMethod::Tournament, &texts);
        assert_eq!((order[0].as_str(), calls), ("5", 4));
    }
}
