//! Simplifies LaTeX answers: what does not change the value is dropped, fractions and roots get one spelling.

/// One spelling for answers that look alike.
pub(super) fn simplify(text: &str) -> String {
    let mut out = text.trim().to_owned();
    for (from, to) in [
        ("\\left", ""),
        ("\\right", ""),
        ("\\!", ""),
        ("\\,", ""),
        ("\\;", ""),
        ("\\:", ""),
        ("\\ ", ""),
        ("~", ""),
        ("\\$", ""),
        ("$", ""),
        ("\\%", ""),
        ("%", ""),
        ("^{\\circ}", ""),
        ("^\\circ", ""),
        ("°", ""),
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\cdot", "*"),
        ("\\times", "*"),
        ("\\div", "/"),
        ("\\pi", "pi"),
        ("π", "pi"),
        ("\\{", "{"),
        ("\\}", "}"),
        ("−", "-"),
        ("\\infty", "infinity"),
    ] {
        if out.contains(from) {
            out = out.replace(from, to);
        }
    }
    out = unwrap_text(&out);
    out = out.chars().filter(|c| !c.is_whitespace()).collect();
    out = thousands(&out);
    if let Some((left, right)) = out.split_once('=') {
        // "x=5" answers with 5
        if left.len() <= 2 && left.chars().all(char::is_alphabetic) && !right.contains('=') {
            out = right.to_owned();
        }
    }
    out.trim_end_matches('.').to_owned()
}

/// `\text{east}` is `east`; a unit after a number goes.
fn unwrap_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, tag)) = ["\\text{", "\\mathrm{", "\\textbf{", "\\mbox{"]
        .iter()
        .filter_map(|tag| rest.find(tag).map(|at| (at, *tag)))
        .min()
    {
        out.push_str(&rest[..at]);
        let inner = &rest[at + tag.len()..];
        let Some(end) = inner.find('}') else { return out };
        if !out.trim_end().ends_with(|c: char| c.is_ascii_digit()) {
            out.push_str(&inner[..end]);
        }
        rest = &inner[end + 1..];
    }
    out + rest
}

/// `1,234,567` is one number; `(1,234)` is a pair and stays.
fn thousands(text: &str) -> String {
    let mut parts = text.split(',');
    let Some(first) = parts.next() else { return text.to_owned() };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let head = first.trim_start_matches('-');
    let mut tail: Vec<&str> = parts.collect();
    let Some(last) = tail.pop() else { return text.to_owned() };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    let grouped = (1..=3).contains(&head.len())
        && digits(head)
        && digits(fraction)
        && tail.iter().chain([&last]).all(|part| part.len() == 3 && digits(part));
    if grouped { text.replace(',', "") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_meet() {
        assert_eq!(simplify(r"$\dfrac{1}{2}$"), r"\frac{1}{2}");
        assert_eq!(simplify("1,234,567.5"), "1234567.5");
        assert_eq!(simplify("(1,234)"), "(1,234)");
        assert_eq!(simplify("1,23"), "1,23");
        assert_eq!(simplify(r"12\text{ cm}"), "12");
        assert_eq!(simplify(r"\text{(B)}"), "(B)");
        assert_eq!(simplify(r"90^{\circ}"), "90");
        assert_eq!(simplify("y = 3x"), "3x");
    }
}
