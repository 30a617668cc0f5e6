//! Finds markup in text that comes in pieces.
//!
//! A piece may end anywhere, also inside a marker. What the scanner reports does not depend on where pieces end, except that
//! text may be reported in more or fewer portions. It looks at every byte a bounded number of times.

use std::ops::Range;

use super::markup::{Markup, MarkupError, Pair};
use super::tags::TagParse;
use super::tool_call::{Quoting, ToolCallParse};

/// Something found in the text of a turn.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Text outside markup, never empty.
    Text(String),
    /// A tool call, or what stands in its place.
    ToolCall(ToolCallParse),
    /// A tag.
    Tag(TagParse),
}

/// An item with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The item.
    pub item: Item,
    /// Its bytes in the text, markers included. Items follow each other without a gap.
    pub bytes: Range<usize>,
}

/// Looks for markup in a text that is pushed piece by piece.
#[derive(Debug, Clone)]
pub struct Scanner {
    pairs: Vec<Pair>,
    /// Text that was pushed; what was reported is dropped now and then.
    buffer: String,
    /// How much of `buffer` was reported.
    reported: usize,
    /// Where the rest of `buffer` begins in the text.
    start: usize,
    state: State,
    /// Whether quotes are ignored: the turn is over, and an open quote had swallowed a closing marker.
    quotes_ignored: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Outside,
    /// Behind an opening marker, which begins the rest of the buffer.
    Inside {
        pair: usize,
        /// The first byte of the rest that was not looked at.
        next: usize,
        quoting: Quoting,
    },
}

impl Scanner {
    /// Starts at the beginning of a turn.
    pub fn new(markup: &Markup) -> Result<Self, MarkupError> {
        Ok(Self::of(markup.pairs()?))
    }

    pub(super) fn of(pairs: Vec<Pair>) -> Self {
        Self { pairs, buffer: String::new(), reported: 0, start: 0, state: State::Outside, quotes_ignored: false }
    }

    /// Takes the next piece of text and gives what it completes. Text is held back only while it may begin a marker.
    pub fn push(&mut self, piece: &str) -> Vec<Found> {
        self.buffer.drain(..self.reported);
        self.reported = 0;
        self.buffer.push_str(piece);
        let mut found = Vec::new();
        while self.step(&mut found) {}
        found
    }

    /// Ends the turn: markup that is still open becomes partial. A quote that was never closed and hides a closing marker
    /// is taken for a mistake: the call ends at that marker, and the rest is looked at without regard to quotes.
    pub fn finish(mut self) -> Vec<Found> {
        let mut found = Vec::new();
        if let State::Inside { pair, .. } = self.state
            && self.pairs[pair].name.is_none()
            && self.rest().contains(&self.pairs[pair].close)
        {
            self.quotes_ignored = true;
            self.state = self.inside(pair);
            while self.step(&mut found) {}
        }
        let length = self.rest().len();
        match self.state {
            State::Outside => self.text(length, &mut found),
            State::Inside { pair, next, .. } => {
                let begin = self.pairs[pair].open.len();
                let body = &self.rest()[begin..];
                let item = match &self.pairs[pair].name {
                    None => Item::ToolCall(ToolCallParse::unclosed(body, next - begin)),
                    Some(name) => Item::Tag(TagParse::Partial { name: name.clone(), content: body.to_owned() }),
                };
                self.take(length, item, &mut found);
            }
        }
        found
    }

    /// Text that no reported item covers.
    fn rest(&self) -> &str {
        &self.buffer[self.reported..]
    }

    /// Moves past one marker; whether there was one.
    fn step(&mut self, found: &mut Vec<Found>) -> bool {
        match self.state {
            State::Outside => {
                let (text, opened) = self.text_before_marker();
                self.text(text, found);
                if let Some(pair) = opened {
                    self.state = self.inside(pair);
                }
                opened.is_some()
            }
            State::Inside { pair, next, quoting } => match self.closing(pair, next, quoting) {
                Ok(body_end) => {
                    let Pair { name, open, close } = &self.pairs[pair];
                    let body = &self.rest()[open.len()..body_end];
                    let item = match name {
                        None => Item::ToolCall(ToolCallParse::closed(body)),
                        Some(name) => Item::Tag(TagParse::Complete { name: name.clone(), content: body.to_owned() }),
                    };
                    self.state = State::Outside;
                    self.take(body_end + close.len(), item, found);
                    true
                }
                Err(state) => {
                    self.state = state;
                    false
                }
            },
        }
    }

    fn inside(&self, pair: usize) -> State {
        State::Inside { pair, next: self.pairs[pair].open.len(), quoting: Quoting::Outside }
    }

    /// How much of the rest is text for certain, and the marker that follows it if there is a whole one.
    fn text_before_marker(&self) -> (usize, Option<usize>) {
        let text = self.rest();
        for (at, _) in text.match_indices('<') {
            let rest = &text[at..];
            if let Some(pair) = self.pairs.iter().position(|pair| rest.starts_with(&pair.open)) {
                return (at, Some(pair));
            }
            if self.pairs.iter().any(|pair| pair.open.starts_with(rest)) {
                return (at, None);
            }
        }
        (text.len(), None)
    }

    /// Where the closing marker begins, or the state to go on from when more text has come.
    fn closing(&self, pair: usize, mut next: usize, mut quoting: Quoting) -> Result<usize, State> {
        let (bytes, close) = (self.rest().as_bytes(), self.pairs[pair].close.as_bytes());
        let quotes = self.pairs[pair].name.is_none() && !self.quotes_ignored;
        while let Some(&byte) = bytes.get(next) {
            if quoting == Quoting::Outside && byte == b'<' {
                let rest = &bytes[next..];
                if rest.starts_with(close) {
                    return Ok(next);
                }
                if close.starts_with(rest) {
                    break;
                }
            }
            if quotes {
                quoting = quoting.after(byte);
            }
            next += 1;
        }
        Err(State::Inside { pair, next, quoting })
    }

    /// Reports the first `length` bytes of the rest as text.
    fn text(&mut self, length: usize, found: &mut Vec<Found>) {
        if length > 0 {
            let text = self.rest()[..length].to_owned();
            self.take(length, Item::Text(text), found);
        }
    }

    /// Reports `item` for the first `length` bytes of the rest.
    fn take(&mut self, length: usize, item: Item, found: &mut Vec<Found>) {
        self.reported += length;
        found.push(Found { item, bytes: self.start..self.start + length });
        self.start += length;
    }
}

/// Everything in a finished text.
pub fn scan(markup: &Markup, text: &str) -> Result<Vec<Found>, MarkupError> {
    Ok(scan_pairs(markup.pairs()?, text))
}

pub(super) fn scan_pairs(pairs: Vec<Pair>, text: &str) -> Vec<Found> {
    let mut scanner = Scanner::of(pairs);
    let mut found = scanner.push(text);
    found.extend(scanner.finish());
    merge_text(found)
}

/// Joins neighbouring portions of text.
fn merge_text(found: Vec<Found>) -> Vec<Found> {
    let mut merged: Vec<Found> = Vec::with_capacity(found.len());
    for next in found {
        match (merged.last_mut(), &next.item) {
            (Some(Found { item: Item::Text(text), bytes }), Item::Text(more)) => {
                text.push_str(more);
                bytes.end = next.bytes.end;
            }
            _ => merged.push(next),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn markup() -> Markup {
        Markup { tool_calls: true, tags: vec!["a".to_owned(), "ab".to_owned()] }
    }

    #[test]
    fn text_is_held_back_only_while_it_may_begin_a_marker() {
        let mut scanner = Scanner::new(&markup()).unwrap();
        let texts = |found: Vec<Found>| found.into_iter().map(|found| found.item).collect::<Vec<_>>();
        assert_eq!(texts(scanner.push("1 < 2 <")), [Item::Text("1 < 2 ".to_owned())]);
        assert_eq!(texts(scanner.push("a")), []);
        assert_eq!(texts(scanner.push("c>")), [Item::Text("<ac>".to_owned())]);
        assert_eq!(texts(scanner.push("<ab>x</ab")), []);
        let want = Item::Tag(TagParse::Complete { name: "ab".to_owned(), content: "x".to_owned() });
        assert_eq!(texts(scanner.push(">")), [want]);
    }

    #[test]
    fn a_long_run_of_hostile_quotes_is_read_in_linear_time() {
        let piece = r#"<tool_call>\"</tool_call>"#;
        let text = format!(r#"<tool_call>"</tool_call>{}"#, piece.repeat(20_000));
        assert_eq!(scan(&markup(), &text).unwrap().len(), 20_001);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn pieces_do_not_matter_and_items_tile_the_text(
            words in prop::collection::vec(prop_oneof![
                Just("<tool_call>"), Just("</tool_call>"), Just("<a>"), Just("</a>"), Just("<ab>"), Just("</ab>"), Just("<"),
                Just("\""), Just("\\"), Just("é"), Just(r#"{"name":"f","arguments":{}}"#), Just("x")], 0..16),
            cuts in prop::collection::vec(0usize..200, 0..12),
        ) {
            let text = words.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| text.floor_char_boundary(cut)).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let mut scanner = Scanner::new(&markup()).unwrap();
            let mut found: Vec<Found> = cuts.windows(2).flat_map(|cut| scanner.push(&text[cut[0]..cut[1]])).collect();
            found.extend(scanner.finish());
            let mut end = 0;
            for found in &found {
                prop_assert_eq!(found.bytes.start, end);
                end = found.bytes.end;
                if let Item::Text(words) = &found.item {
                    prop_assert_eq!(words.as_str(), &text[found.bytes.clone()]);
                }
            }
            prop_assert_eq!(end, text.len());
            prop_assert_eq!(merge_text(found), scan(&markup(), &text).unwrap());
        }
    }
}
