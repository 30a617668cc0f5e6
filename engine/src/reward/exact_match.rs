//! Exact match: 1 when the answer equals a gold answer after normalisation, else 0.

use serde::Deserialize;

use super::{Evidence, Normaliser, RewardFault, RewardTerm, best_of};

/// 1 for the same text, 0 for any other.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExactMatch {
    /// How both texts are made comparable; SQuAD's rule by default.
    pub normaliser: Normaliser,
}

impl RewardTerm for ExactMatch {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        best_of(evidence, |answer, gold| Ok(f64::from(self.normaliser.apply(answer) == self.normaliser.apply(gold))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(answer: Option<&str>, gold: &[&str]) -> Result<f64, RewardFault> {
        let gold: Vec<String> = gold.iter().map(ToString::to_string).collect();
        ExactMatch::default().score(&Evidence { answer, gold: &gold, tokens: 1 })
    }

    #[test]
    fn any_gold_answer_counts() {
        assert_eq!(score(Some("the Lek."), &["Euro", "Lek"]), Ok(1.0));
        assert_eq!(score(Some("Lek or Euro"), &["Euro", "Lek"]), Ok(0.0));
    }

    #[test]
    fn a_missing_field_is_wrong_and_a_missing_gold_is_a_fault() {
        assert_eq!(score(None, &["Lek"]), Ok(0.0));
        assert_eq!(score(Some("Lek"), &[]), Err(RewardFault::NoGold));
    }
}
