//! Text in drawings: widths without a font, shortening, escaping.

/// Approximate width of a text in a proportional sans-serif face, in units of the font size.
///
/// Groups of letters of similar width, measured on common system faces; a little generous, so that nothing sticks out.
pub(super) fn width(text: &str) -> f64 {
    let letter = |letter: char| match letter {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | '·' => 0.29,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '-' | '/' | '"' => 0.37,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '—' => 0.88,
        'A'..='Z' | '&' | '<' | '>' | '=' | '+' | '×' | '≤' | '≥' => 0.68,
        '\u{1100}'.. => 1.05,
        _ => 0.57,
    };
    text.chars().map(letter).sum()
}

/// A text of at most `letters` characters; longer ones end in an ellipsis.
pub(super) fn short(text: &str, letters: usize) -> String {
    let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= letters {
        return text;
    }
    let mut cut: String = text.chars().take(letters.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Escapes text for XML, in elements and attributes. Characters that XML does not have are replaced.
pub(super) fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_leave_its_place() {
        assert_eq!(xml("<script>\"&'\u{1}"), "&lt;script&gt;&quot;&amp;&#39;\u{fffd}");
        assert_eq!(short("a  very\nlong text", 10), "a very lo…");
        assert!(width("WWW") > width("iii") * 2.0);
    }
}
