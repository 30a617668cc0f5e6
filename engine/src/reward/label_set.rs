//! Label set: for tasks whose answer is one or more names out of a closed list.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Evidence, Normaliser, RewardFault, RewardTerm};

/// 1 when the labels named in the answer are exactly the gold labels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSet {
    /// All labels there are.
    pub labels: Vec<String>,
    /// What naming a label outside the gold set together with right ones earns, from 0 to 1: the share of right labels
    /// among all that are named or gold (Jaccard), times this. 0, the default, pays exact sets alone.
    #[serde(default)]
    pub partial: f64,
}

impl LabelSet {
    fn named(&self, text: &str) -> BTreeSet<&str> {
        let text = format!(" {} ", Normaliser::Squad.apply(text));
        let said = |label: &&String| text.contains(&format!(" {} ", Normaliser::Squad.apply(label)));
        self.labels.iter().filter(said).map(String::as_str).collect()
    }
}

impl RewardTerm for LabelSet {
    fn score(&self, evidence: &Evidence<'_>) -> Result<f64, RewardFault> {
        if evidence.gold.is_empty() {
            return Err(RewardFault::NoGold);
        }
        let gold: BTreeSet<&str> = evidence.gold.iter().flat_map(|text| self.named(text)).collect();
        if gold.is_empty() {
            let gold = evidence.gold.join(", ");
            return Err(RewardFault::BadGold { gold, expected: "one of the declared labels" });
        }
        let Some(answer) = evidence.answer else { return Ok(0.0) };
        let named = self.named(answer);
        if named == gold {
            return Ok(1.0);
        }
        let shared = named.intersection(&gold).count() as f64;
        Ok(self.partial * shared / named.union(&gold).count() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(partial: f64, answer: &str, gold: &str) -> Result<f64, RewardFault> {
        let labels = ["satire", "news"].map(str::to_owned).to_vec();
        let gold = [gold.to_owned()];
        LabelSet { labels, partial }.score(&Evidence { answer: Some(answer), gold: &gold, tokens: 1 })
    }

    #[test]
    fn naming_both_labels_is_not_an_answer() {
        assert_eq!(score(0.0, "Satire.", "satire"), Ok(1.0));
        assert_eq!(score(0.0, "satire or news", "satire"), Ok(0.0));
        assert_eq!(score(0.5, "satire or news", "satire"), Ok(0.25));
        assert_eq!(score(0.0, "newspaper", "news"), Ok(0.0));
    }

    #[test]
    fn a_gold_label_outside_the_list_is_a_fault() {
        assert!(matches!(score(0.0, "news", "opinion"), Err(RewardFault::BadGold { .. })));
    }
}
