//! Where the final answer stands in a worked solution: the last `\boxed{…}`, else what follows `####`, else what follows
//! a phrase that announces it, else the last number.

/// The final answer, or `None` where the text holds nothing that could be one.
///
/// ```
/// use marft_engine::reward::maths::extract::final_answer;
/// assert_eq!(final_answer(r"thus \boxed{x^{2}} holds"), Some("x^{2}"));
/// assert_eq!(final_answer("So the answer is 42."), Some("42"));
/// ```
pub fn final_answer(text: &str) -> Option<&str> {
    marked_answer(text).or_else(|| after_phrase(text)).or_else(|| last_number(text))
}

/// The final answer where the text marks one: the last box, else what follows `####`. A gold answer without a mark is
/// the answer as a whole.
pub fn marked_answer(text: &str) -> Option<&str> {
    last_boxed(text).or_else(|| after_hashes(text))
}

/// The content of the last `\boxed{…}` or `\fbox{…}` whose braces are balanced.
fn last_boxed(text: &str) -> Option<&str> {
    let start = ["\\boxed{", "\\fbox{"].iter().filter_map(|tag| text.rfind(tag).map(|at| at + tag.len())).max()?;
    let mut depth = 1_usize;
    for (at, byte) in text.as_bytes()[start..].iter().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(text[start..start + at].trim());
        }
    }
    None
}

/// GSM8K's mark for the final answer.
fn after_hashes(text: &str) -> Option<&str> {
    let rest = &text[text.rfind("####")? + 4..];
    let line = rest.lines().next().unwrap_or("").trim();
    (!line.is_empty()).then_some(line)
}

fn after_phrase(text: &str) -> Option<&str> {
    let lowered = text.to_ascii_lowercase();
    let phrases = ["final answer is", "answer is", "final answer:", "answer:"];
    let start = phrases.iter().filter_map(|phrase| lowered.rfind(phrase).map(|at| at + phrase.len())).max()?;
    let rest = text[start..].trim_start_matches([':', ' ', '*']);
    let line = rest.lines().next().unwrap_or("");
    let sentence = line.find(". ").map_or(line, |end| &line[..end]);
    let answer = sentence.trim().trim_end_matches(['.', '!', '*']).trim_matches('$').trim();
    (!answer.is_empty()).then_some(answer)
}

fn last_number(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    let end = bytes.iter().rposition(u8::is_ascii_digit)? + 1;
    let inside = |at: usize| {
        bytes[at].is_ascii_digit() || (matches!(bytes[at], b'.' | b',') && at > 0 && bytes[at - 1].is_ascii_digit())
    };
    let mut start = end;
    while start > 0 && inside(start - 1) {
        start -= 1;
    }
    let negative = start > 0 && bytes[start - 1] == b'-' && (start < 2 || !bytes[start - 2].is_ascii_digit());
    Some(&text[start - usize::from(negative)..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_box_wins() {
        assert_eq!(final_answer(r"\boxed{1} no, \boxed{\frac{2}{3}}"), Some(r"\frac{2}{3}"));
        assert_eq!(final_answer(r"\boxed{1"), Some("1"));
    }

    #[test]
    fn hashes_then_phrases_then_numbers() {
        assert_eq!(final_answer("5 + 5 = 10\n#### 1,000\n"), Some("1,000"));
        assert_eq!(final_answer("The final answer is: **-7**."), Some("-7"));
        assert_eq!(final_answer("we get 3, so 12.5 kg"), Some("12.5"));
        assert_eq!(final_answer("x is -4"), Some("-4"));
        assert_eq!(final_answer("nothing"), None);
    }

    #[test]
    fn other_alphabets_are_no_trouble() {
        assert_eq!(final_answer("答案是 12 个"), Some("12"));
        assert_eq!(final_answer("İ answer is 3"), Some("3"));
    }
}
