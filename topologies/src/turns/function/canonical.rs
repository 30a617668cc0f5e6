//! Equality of votes: the form under which two answers count as the same.

use crate::spec::Canonical;

/// The canonical form of an answer.
pub(super) fn canonical(how: Canonical, text: &str) -> String {
    match how {
        Canonical::Exact => text.to_owned(),
        Canonical::Text => plain(text),
        Canonical::Number => number(text).unwrap_or_else(|| plain(text)),
        Canonical::Choice => choice(text).map_or_else(|| plain(text), String::from),
    }
}

/// Trimmed, lower case, runs of white space joined.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A number without its dress: thousands separators, a currency sign, a full stop. `0.50`, `.5` and `50e-2` are the same.
fn number(text: &str) -> Option<String> {
    let bare: String =
        text.trim().trim_end_matches('.').chars().filter(|sign| !matches!(sign, ',' | '$' | '_')).collect();
    let (bare, percent) = match bare.strip_suffix('%') {
        Some(bare) => (bare, "%"),
        None => (bare.as_str(), ""),
    };
    let number: f64 = bare.trim().parse().ok().filter(|number: &f64| number.is_finite())?;
    // Zero has two signs in floating point; as an answer it has none.
    let number = if number == 0.0 { 0.0 } else { number };
    Some(format!("{number}{percent}"))
}

/// The one choice letter in a text: `(b)`, `B.`, `The answer is B`.
fn choice(text: &str) -> Option<char> {
    let text = text.trim();
    let stripped = text.trim_matches(|sign: char| !sign.is_alphanumeric());
    let mut letters = stripped.chars();
    if let (Some(only), None) = (letters.next(), letters.next())
        && only.is_ascii_alphabetic()
    {
        return Some(only.to_ascii_uppercase());
    }
    // Inside a sentence only capitals count, and not `I` or `A` where a word follows: those are words themselves.
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut found = None;
    for (at, word) in words.iter().enumerate() {
        let bare = word.trim_matches(|sign: char| !sign.is_alphanumeric());
        let mut letters = bare.chars();
        let (Some(letter), None) = (letters.next(), letters.next()) else { continue };
        let dressed = bare.len() != word.len();
        let joined = |next: &&&str| matches!(**next, "or" | "and");
        let is_word = matches!(letter, 'I' | 'A') && !dressed && words.get(at + 1).is_some_and(|next| !joined(&next));
        let counts = letter.is_ascii_uppercase() || (dressed && letter.is_ascii_lowercase());
        if !counts || is_word {
            continue;
        }
        let letter = letter.to_ascii_uppercase();
        if found.is_some_and(|known| known != letter) {
            return None;
        }
        found = Some(letter);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use crate::spec::Canonical;

    #[test]
    fn numbers_are_compared_by_value() {
        let same = |text: &str| canonical(Canonical::Number, text);
        assert_eq!(same("1,000"), same("1000.0"));
        assert_eq!(same("$0.50."), same(".5"));
        assert_eq!(same("-0"), same("0"));
        assert_ne!(same("50%"), same("50"));
        assert_eq!(same("Ten  apples"), "ten apples");
    }

    #[test]
    fn choices_are_found_in_sentences() {
        let letter = |text: &str| canonical(Canonical::Choice, text);
        for text in ["b", "(B)", "B.", "The answer is B", "I think the answer is (b)."] {
            assert_eq!(letter(text), "B", "{text}");
        }
        assert_eq!(letter("either A or B"), "either a or b");
        assert_eq!(letter("A good answer is C"), "C");
    }
}
