//! Votes and choices among inputs that nobody needs to be asked about.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::canonical::canonical;
use super::{Input, Product};
use crate::spec::{Canonical, Tie};

/// The most frequent value. `draw` resolves seeded ties.
pub(in crate::turns) fn majority(inputs: &[Input], how: Canonical, tie: Tie, draw: u64) -> Option<Product> {
    weighed(inputs, how, tie, draw, |_| 1.0)
}

/// The value with the largest sum of weights; a voter without a weight has none.
pub(in crate::turns) fn vote(inputs: &[Input], weight: &str, how: Canonical, tie: Tie, draw: u64) -> Option<Product> {
    weighed(inputs, how, tie, draw, |input| input.number(weight).unwrap_or(0.0).max(0.0))
}

fn weighed(inputs: &[Input], how: Canonical, tie: Tie, draw: u64, weight: impl Fn(&Input) -> f64) -> Option<Product> {
    // Values in order of first appearance: (first voter, voters, weight).
    let mut values: Vec<(usize, usize, f64)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (at, input) in inputs.iter().enumerate() {
        let value = *known.entry(canonical(how, &input.text)).or_insert_with(|| {
            values.push((at, 0, 0.0));
            values.len() - 1
        });
        values[value].1 += 1;
        values[value].2 += weight(input);
    }
    let total: f64 = values.iter().map(|value| value.2).sum();
    let most = values.iter().map(|value| value.2).fold(f64::NEG_INFINITY, f64::max);
    let leaders: Vec<_> = values.iter().filter(|value| value.2 >= most).collect();
    let (first, voters, weight) = *leaders[pick(leaders.len(), tie, draw)?];
    let mut product = handed_on(&inputs[first]);
    let share = if total > 0.0 { weight / total } else { 0.0 };
    product.fields.insert("share".into(), share.into());
    product.fields.insert("votes".into(), voters.into());
    Some(product)
}

/// The input with the largest number in `field`; inputs without one never win.
pub(in crate::turns) fn best_of(inputs: &[Input], field: &str, tie: Tie, draw: u64) -> Option<Product> {
    let scores: Vec<_> = inputs.iter().map(|input| input.number(field)).collect();
    best(inputs, &scores, tie, draw)
}

/// The input with the highest score.
pub(super) fn best(inputs: &[Input], scores: &[Option<f64>], tie: Tie, draw: u64) -> Option<Product> {
    let most = scores.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let leaders: Vec<_> = (0..inputs.len()).filter(|at| scores[*at].is_some_and(|score| score >= most)).collect();
    let winner = leaders[pick(leaders.len(), tie, draw)?];
    let mut product = handed_on(&inputs[winner]);
    product.fields.insert("score".into(), most.into());
    Some(product)
}

/// The position of the winner among `leaders`; nothing when there is none or a tie abstains.
fn pick(leaders: usize, tie: Tie, draw: u64) -> Option<usize> {
    match (leaders, tie) {
        (0, _) => None,
        (1, _) | (_, Tie::First) => Some(0),
        (_, Tie::Seeded) => Some((draw % leaders as u64) as usize),
        (_, Tie::Abstain) => None,
    }
}

/// The winner's words and fields.
fn handed_on(input: &Input) -> Product {
    let value = match &input.value {
        Value::String(_) => None,
        other => Some(other.clone()),
    };
    Product { text: Arc::clone(&input.text), fields: input.fields(), value }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs(votes: &[(&str, f64)]) -> Vec<Input> {
        let input = |(text, confidence): &(&str, f64)| Input {
            text: (*text).into(),
            value: Value::from(*text),
            record: json!({ "text": text, "confidence": confidence }).as_object().unwrap().clone(),
            message: None,
        };
        votes.iter().map(input).collect()
    }

    /// The oracle of the survey: A(.9), B(.5), B(.6) gives B either way; A(.9), B(.3), B(.4) depends on the weights.
    #[test]
    fn weights_can_overturn_a_majority() {
        let text = |product: Option<Product>| product.unwrap().text.to_string();
        let both = inputs(&[("A", 0.9), ("B", 0.5), ("B", 0.6)]);
        assert_eq!(text(vote(&both, "confidence", Canonical::Exact, Tie::First, 0)), "B");
        assert_eq!(text(majority(&both, Canonical::Exact, Tie::First, 0)), "B");
        let split = inputs(&[("A", 0.9), ("B", 0.3), ("B", 0.4)]);
        assert_eq!(text(vote(&split, "confidence", Canonical::Exact, Tie::First, 0)), "A");
        assert_eq!(text(majority(&split, Canonical::Exact, Tie::First, 0)), "B");
    }

    #[test]
    fn ties_go_to_the_first_or_the_drawn_or_nobody() {
        let tied = inputs(&[("A", 1.0), ("B", 1.0)]);
        let winner = |tie, draw| majority(&tied, Canonical::Exact, tie, draw).map(|product| product.text.to_string());
        assert_eq!(winner(Tie::First, 1).as_deref(), Some("A"));
        assert_eq!(winner(Tie::Seeded, 1).as_deref(), Some("B"));
        assert_eq!(winner(Tie::Seeded, 2).as_deref(), Some("A"));
        assert_eq!(winner(Tie::Abstain, 0), None);
        assert_eq!(majority(&[], Canonical::Exact, Tie::First, 0), None);
    }

    #[test]
    fn the_best_needs_a_score() {
        let scored = inputs(&[("A", 0.2), ("B", 0.7), ("C", f64::NAN)]);
        assert_eq!(&*best_of(&scored, "confidence", Tie::First, 0).unwrap().text, "B");
        assert_eq!(best_of(&scored, "absent", Tie::First, 0), None);
    }
}
