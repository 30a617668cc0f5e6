//! Text normalisation before answers are compared, as the question-answering field does it: lower case, no punctuation,
//! no English articles, single blanks.

use serde::Deserialize;

/// How two texts are made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normaliser {
    /// Nothing but trimming white space.
    Exact,
    /// Lower case and single blanks.
    Case,
    /// The rule of SQuAD: lower case, ASCII punctuation dropped, the words *a*, *an*, *the* dropped, single blanks.
    /// A text of nothing but articles is kept whole, so that the answer "A" of a multiple choice survives.
    #[default]
    Squad,
}

impl Normaliser {
    /// The normalised text.
    pub fn apply(self, text: &str) -> String {
        match self {
            Self::Exact => text.trim().to_owned(),
            Self::Case => squeeze(&text.to_lowercase()),
            Self::Squad => normalise(text),
        }
    }
}

/// SQuAD's normalisation; see [`Normaliser::Squad`].
///
/// ```
/// use marft_engine::reward::normalise;
/// assert_eq!(normalise("The  University of Michigan."), "university of michigan");
/// assert_eq!(normalise("A"), "a");
/// ```
pub fn normalise(text: &str) -> String {
    let lowered: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let words: Vec<&str> = lowered.split_whitespace().filter(|word| !matches!(*word, "a" | "an" | "the")).collect();
    if words.is_empty() { squeeze(&lowered) } else { words.join(" ") }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_answer_survives_article_removal() {
        assert_eq!(normalise("A"), "a");
        assert_eq!(normalise("the"), "the");
        assert_eq!(normalise("an A"), "an a");
    }

    #[test]
    fn punctuation_joins_and_case_folds() {
        assert_eq!(normalise("U.S.A."), "usa");
        assert_eq!(Normaliser::Case.apply("  New\n York. "), "new york.");
        assert_eq!(Normaliser::Exact.apply(" x "), "x");
    }
}
