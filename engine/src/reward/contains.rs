//! Containment: 1 when a gold answer stands in the text as whole words. Generous towards long answers, so pair it with
//! [`LengthShaping`](super::LengthShaping).

use serde::Deserialize;

use super::{Evidence, Normaliser, RewardFault, RewardTerm, best_of};

/// 1 when the answer contains a gold answer, word for word.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Contains {
    /// How both texts are made comparable; SQuAD's rule by default.
    pub normaliser: Normaliser,
}

impl RewardTerm for Contains {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        best_of(evidence, |answer, gold| {
            let (answer, gold) = (self.normaliser.apply(answer), self.normaliser.apply(gold));
            let found = !gold.is_empty() && format!(" {answer} ").contains(&format!(" {gold} "));
            Ok(f64::from(found))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_only() {
        let gold = vec!["Rome".to_owned()];
        let score = |answer| Contains::default().score(&Evidence { answer: Some(answer), gold: &gold, tokens: 1 });
        assert_eq!(score("It is Rome, of course"), Ok(1.0));
        assert_eq!(score("Romeo"), Ok(0.0));
    }

    #[test]
    fn an_empty_gold_answer_is_in_nothing() {
        let gold = vec![String::new()];
        assert_eq!(Contains::default().score(&Evidence { answer: Some("x"), gold: &gold, tokens: 1 }), Ok(0.0));
    }
}
