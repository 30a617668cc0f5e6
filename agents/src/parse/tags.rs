//! Tags that hold a part of an answer: `<answer>…</answer>`.
//!
//! A tag runs from its opening marker to the next closing one; what stands between is content, whatever it looks like.

use super::pick::{Excerpt, Pick, ReadError};

/// A tag in the text of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagParse {
    /// An opened and closed tag.
    Complete {
        /// Its name.
        name: String,
        /// What stands between the markers.
        content: String,
    },
    /// The turn ended before the closing marker.
    Partial {
        /// Its name.
        name: String,
        /// What was written of the content.
        content: String,
    },
}

/// All tags of one name in a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags<'t> {
    /// Contents of the closed ones in their order.
    pub closed: Vec<Excerpt<'t>>,
    /// What stands in the last one if it is not closed.
    pub unclosed: Option<Excerpt<'t>>,
}

/// Finds every tag called `name` in `text`, also inside other tags. Time is linear in the length of the text.
pub fn find_tags<'t>(text: &'t str, name: &str) -> Tags<'t> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut tags = Tags::default();
    let mut at = 0;
    while let Some(found) = text[at..].find(&open) {
        let begin = at + found + open.len();
        let Some(length) = text[begin..].find(&close) else {
            tags.unclosed = Some(Excerpt { text: &text[begin..], bytes: begin..text.len() });
            break;
        };
        let end = begin + length;
        tags.closed.push(Excerpt { text: &text[begin..end], bytes: begin..end });
        at = end + close.len();
    }
    tags
}

/// The content of the tag called `name`. With [`Pick::First`] a closed tag suffices; otherwise a later one that is not closed is
/// an error, since the text ends inside what would have counted.
pub fn read_tag<'t>(text: &'t str, name: &str, pick: Pick) -> Result<Excerpt<'t>, ReadError> {
    let what = || format!("<{name}>…</{name}>");
    let Tags { closed, unclosed } = find_tags(text, name);
    if unclosed.is_some() && (pick != Pick::First || closed.is_empty()) {
        return Err(ReadError::Unclosed { what: what() });
    }
    pick.of(closed, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, pick: Pick) -> Result<&str, ReadError> {
        read_tag(text, "answer", pick).map(|excerpt| excerpt.text)
    }

    #[test]
    fn first_last_and_only() {
        let text = "<think>3? <answer>3</answer></think><answer> 4\n</answer>";
        assert_eq!(read(text, Pick::First), Ok("3"));
        assert_eq!(read(text, Pick::Last), Ok(" 4\n"));
        assert!(matches!(read(text, Pick::Only), Err(ReadError::Repeated { count: 2, .. })));
        assert_eq!(read("<answer></answer>", Pick::Only), Ok(""));
        let excerpt = read_tag(text, "answer", Pick::Last).unwrap();
        assert_eq!(&text[excerpt.bytes], " 4\n");
    }

    #[test]
    fn what_is_missing_or_open_is_told_apart() {
        for pick in [Pick::First, Pick::Last, Pick::Only] {
            assert!(matches!(read("4</answer>", pick), Err(ReadError::Missing { .. })));
            assert!(matches!(read("<answer>4</answ", pick), Err(ReadError::Unclosed { .. })));
        }
        let text = "<answer>3</answer> no, <answer>4";
        assert_eq!(read(text, Pick::First), Ok("3"));
        assert!(matches!(read(text, Pick::Last), Err(ReadError::Unclosed { .. })));
        assert_eq!(find_tags(text, "answer").unclosed.unwrap().text, "4");
    }
}
