//! Token overlap: precision, recall or F1 between the words of the answer and of the gold answer.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Evidence, Normaliser, RewardFault, RewardTerm, best_of};

/// Which overlap is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The harmonic mean of precision and recall.
    #[default]
    F1,
    /// Shared words over words of the gold answer. A long answer that lists everything earns it: it is easily gamed.
    Recall,
    /// Shared words over words of the answer.
    Precision,
}

/// Word overlap as a multiset.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenF1 {
    /// F1 by default.
    pub measure: Overlap,
    /// How both texts are made comparable; SQuAD's rule by default.
    pub normaliser: Normaliser,
}

impl RewardTerm for TokenF1 {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        best_of(evidence, |answer, gold| {
            Ok(overlap(&self.normaliser.apply(answer), &self.normaliser.apply(gold), self.measure))
        })
    }
}

/// Two empty texts agree; an empty one and another do not.
fn overlap(answer: &str, gold: &str, measure: Overlap) -> f64 {
    let mut left: BTreeMap<&str, i64> = BTreeMap::new();
    let gold_words = gold.split_whitespace().inspect(|word| *left.entry(word).or_default() += 1).count();
    let answer_words = answer.split_whitespace().count();
    if gold_words == 0 || answer_words == 0 {
        return f64::from(gold_words == answer_words);
    }
    let mut shared = 0_u32;
    for word in answer.split_whitespace() {
        if let Some(count) = left.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    let (precision, recall) = (f64::from(shared) / answer_words as f64, f64::from(shared) / gold_words as f64);
    match measure {
        Overlap::Precision => precision,
        Overlap::Recall => recall,
        Overlap::F1 if shared == 0 => 0.0,
        Overlap::F1 => 2.0 * precision * recall / (precision + recall),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(measure: Overlap, answer: &str, gold: &str) -> f64 {
        let gold = [gold.to_owned()];
        TokenF1 { measure, ..TokenF1::default() }
            .score(&Evidence { answer: Some(answer), gold: &gold, tokens: 1 })
            .unwrap()
    }

    // Answer words: university of michigan bs in mathematics 1970 (7); gold: university of michigan (3); 3 shared.
    // recall = 3/3, precision = 3/7, F1 = 2 * 3/7 / (1 + 3/7) = 0.6
    #[test]
    fn recall_is_hackable_and_f1_is_not() {
        let (answer, gold) = ("University of Michigan, B.S. in Mathematics 1970", "the University of Michigan");
        assert_eq!(score(Overlap::Recall, answer, gold), 1.0);
        assert!((score(Overlap::F1, answer, gold) - 0.6).abs() < 1e-12);
        assert!((score(Overlap::Precision, answer, gold) - 3.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn repeated_words_are_shared_as_often_as_both_have_them() {
        assert_eq!(score(Overlap::Recall, "ho ho ho", "ho ho"), 1.0);
        assert!((score(Overlap::Precision, "ho ho ho", "ho ho") - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn empty_texts() {
        assert_eq!(score(Overlap::F1, "", ""), 1.0);
        assert_eq!(score(Overlap::F1, "x", ""), 0.0);
        assert_eq!(score(Overlap::F1, "", "x"), 0.0);
    }
}
