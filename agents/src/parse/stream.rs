//! Reads a turn token by token.
//!
//! Tokens become text through the streaming detokenizer, so a character may be split over any number of them. Whatever is
//! complete is reported at once, with the tokens it came from.

use std::collections::BTreeMap;
use std::ops::Range;

use super::markup::{Markup, MarkupError};
use super::scanner::{Found, Item, Scanner};
use super::token_map::TokenMap;
use super::tool_call::{ToolCall, ToolCallParse};
use crate::text::{Detokenizer, Text};

/// Something found in a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What was found.
    pub item: Item,
    /// Its bytes in the text of the turn, markers included.
    pub bytes: Range<usize>,
    /// The tokens of the answer that hold these bytes. Neighbouring items may share a token.
    pub tokens: Range<usize>,
}

/// Reads one turn as its tokens come.
#[derive(Debug, Clone)]
pub struct TurnParser<'a> {
    source: &'a Text,
    detokenizer: Detokenizer<'a>,
    scanner: Scanner,
    /// Ids that write a marker although they stand for no text.
    markers: BTreeMap<u32, String>,
    end_ids: Vec<u32>,
    text: String,
    map: TokenMap,
    /// Tokens taken.
    taken: usize,
    /// The first and the last token of a character that is not complete.
    begun: Option<(usize, usize)>,
    ended: Option<usize>,
    closed: bool,
}

/// A turn that was read as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Everything found, in order; neighbouring portions of text are joined.
    pub events: Vec<Event>,
    /// The decoded text.
    pub text: String,
    /// Index of the token that ended the turn; none if it was cut off.
    pub ended: Option<usize>,
    /// Which tokens the text came from.
    pub map: TokenMap,
}

impl<'a> TurnParser<'a> {
    /// Starts a turn that ends at the ids that end an answer of this model.
    pub fn new(text: &'a Text, markup: &Markup) -> Result<Self, MarkupError> {
        Self::with_ends(text, markup, text.specials().end_ids.clone())
    }

    /// Starts a turn that ends at `end_ids`.
    pub fn with_ends(text: &'a Text, markup: &Markup, end_ids: Vec<u32>) -> Result<Self, MarkupError> {
        let pairs = markup.pairs()?;
        let written = pairs.iter().flat_map(|pair| [&pair.open, &pair.close]);
        let markers = written
            .filter_map(|marker| Some((text.token_id(marker)?, marker.clone())))
            .filter(|(id, _)| text.table().bytes(*id).is_empty())
            .collect();
        Ok(Self {
            source: text,
            detokenizer: text.detokenizer(),
            scanner: Scanner::of(pairs),
            markers,
            end_ids,
            text: String::new(),
            map: TokenMap::default(),
            taken: 0,
            begun: None,
            ended: None,
            closed: false,
        })
    }

    /// Takes the next token and gives what it completes. Ids behind the end of the turn are ignored.
    pub fn push(&mut self, id: u32) -> Vec<Event> {
        if self.closed {
            return Vec::new();
        }
        let token = self.taken;
        self.taken += 1;
        if self.end_ids.contains(&id) {
            self.ended = Some(token);
            return self.finish();
        }
        if let Some(marker) = self.markers.get(&id).cloned() {
            let mut events = self.flush();
            events.extend(self.read(&marker, token, token));
            return events;
        }
        let piece = self.detokenizer.push(id);
        let first = self.begun.map_or(token, |(first, _)| first);
        let (pending, held) = (self.detokenizer.pending(), self.source.table().bytes(id).len());
        if held > 0 {
            let begins_here = pending <= held;
            self.begun = (pending > 0).then_some((if begins_here { token } else { first }, token));
        }
        self.read(&piece, first, token)
    }

    /// Index of the token that ended the turn, once it has come.
    pub fn ended(&self) -> Option<usize> {
        self.ended
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Which tokens the text so far came from.
    pub fn map(&self) -> &TokenMap {
        &self.map
    }

    /// Ends the turn, where no token has ended it, and gives what that completes: markup that is still open is partial.
    pub fn finish(&mut self) -> Vec<Event> {
        if std::mem::replace(&mut self.closed, true) {
            return Vec::new();
        }
        let mut events = self.flush();
        let scanner = std::mem::replace(&mut self.scanner, Scanner::of(Vec::new()));
        events.extend(self.place(scanner.finish()));
        events
    }

    /// Gives up waiting for the rest of a character.
    fn flush(&mut self) -> Vec<Event> {
        let detokenizer = std::mem::replace(&mut self.detokenizer, self.source.detokenizer());
        let Some((first, last)) = self.begun.take() else { return Vec::new() };
        self.read(&detokenizer.finish(), first, last)
    }

    fn read(&mut self, piece: &str, first: usize, token: usize) -> Vec<Event> {
        self.text.push_str(piece);
        self.map.push(piece.len(), first, token);
        let found = self.scanner.push(piece);
        self.place(found)
    }

    fn place(&self, found: Vec<Found>) -> Vec<Event> {
        let place = |Found { item, bytes }| Event { tokens: self.map.tokens(bytes.clone()), item, bytes };
        found.into_iter().map(place).collect()
    }
}

impl Turn {
    /// Reads the ids of an answer.
    pub fn read(text: &Text, markup: &Markup, ids: &[u32]) -> Result<Self, MarkupError> {
        let mut parser = TurnParser::new(text, markup)?;
        let mut events: Vec<Event> = Vec::new();
        let mut append = |found: Vec<Event>| {
            for event in found {
                match (events.last_mut(), &event.item) {
                    (Some(Event { item: Item::Text(text), bytes, tokens }), Item::Text(more)) => {
                        text.push_str(more);
                        bytes.end = event.bytes.end;
                        tokens.end = event.tokens.end;
                    }
                    _ => events.push(event),
                }
            }
        };
        for &id in ids {
            append(parser.push(id));
        }
        append(parser.finish());
        Ok(Self { events, text: parser.text, ended: parser.ended, map: parser.map })
    }

    /// The calls that can be carried out, each with the tokens that made it.
    pub fn tool_calls(&self) -> impl Iterator<Item = (&ToolCall, Range<usize>)> {
        self.events.iter().filter_map(|event| match &event.item {
            Item::ToolCall(ToolCallParse::Complete(call)) => Some((call, event.tokens.clone())),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::{Field, Pick, TagParse, scan};
    use crate::text::TextParts;
    use proptest::prelude::*;
    use serde_json::json;

    fn markup() -> Markup {
        Markup { tool_calls: true, tags: vec!["answer".to_owned()] }
    }

    /// The byte tokenizer with markers of tool calls as special tokens, as Hermes' own models have them.
    fn with_special_markers() -> Text {
        let bytes = Text::bytes().unwrap();
        let mut document: serde_json::Value =
            serde_json::from_str(&bytes.tokenizer().to_string(false).unwrap()).unwrap();
        for (id, content) in [(258, "<tool_call>"), (259, "</tool_call>")] {
            let token = json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
                               "rstrip": false, "normalized": false});
            document["added_tokens"].as_array_mut().unwrap().push(token);
        }
        let tokenizer = tokenizers::Tokenizer::from_bytes(document.to_string()).unwrap();
        let specials = bytes.specials().clone();
        let end_ids = specials.end_ids.clone();
        Text::new(TextParts { origin: "test".to_owned(), tokenizer, specials, end_ids, templates: Vec::new() }).unwrap()
    }

    #[test]
    fn events_come_with_the_token_that_completes_them() {
        let text = Text::bytes().unwrap();
        let body = "Ünd <answer>4</answer>!";
        let mut parser = TurnParser::new(&text, &markup()).unwrap();
        let mut seen = Vec::new();
        for (token, byte) in body.bytes().enumerate() {
            seen.extend(parser.push(u32::from(byte)).into_iter().map(|event| (token, event)));
        }
        let complete = Item::Tag(TagParse::Complete { name: "answer".to_owned(), content: "4".to_owned() });
        let (token, event) = seen.iter().find(|(_, event)| event.item == complete).unwrap();
        assert_eq!((*token, event.tokens.clone()), (22, 5..23));
        assert_eq!(seen[0].1, Event { item: Item::Text("Ü".to_owned()), bytes: 0..2, tokens: 0..2 });
        assert_eq!(parser.ended(), None);
        assert_eq!(parser.push(257), []);
        assert_eq!(parser.ended(), Some(24));
        assert_eq!(parser.push(65), [], "what follows the end of the turn is not part of it");
        assert_eq!(parser.finish(), []);
    }

    #[test]
    fn the_end_of_the_turn_makes_open_markup_partial() {
        let text = Text::bytes().unwrap();
        let ids: Vec<u32> = b"<tool_call>{".iter().map(|&byte| byte.into()).chain([0xc3, 257]).collect();
        let turn = Turn::read(&text, &markup(), &ids).unwrap();
        let partial = ToolCallParse::Partial { body: "{\u{fffd}".to_owned(), call: None };
        assert_eq!(turn.events, [Event { item: Item::ToolCall(partial), bytes: 0..15, tokens: 0..13 }]);
        assert_eq!(turn.ended, Some(13));
        assert_eq!(Turn::read(&text, &markup(), &[257]).unwrap().events, [], "an empty answer is legal");
    }

    #[test]
    fn markers_may_be_special_tokens() {
        let text = with_special_markers();
        let body = r#"{"name": "f", "arguments": {}}"#;
        let ids: Vec<u32> = [0xc3, 258].into_iter().chain(body.bytes().map(u32::from)).chain([259, 257]).collect();
        let turn = Turn::read(&text, &markup(), &ids).unwrap();
        let calls: Vec<_> = turn.tool_calls().map(|(call, tokens)| (call.name.as_str(), tokens)).collect();
        assert_eq!(calls, [("f", 1..ids.len() - 1)]);
        assert_eq!(turn.events[0].tokens, 0..1);
    }

    #[test]
    fn fields_map_to_tokens() {
        let text = Text::bytes().unwrap();
        let ids = text.encode("Action: go<|im_end|>").unwrap();
        let turn = Turn::read(&text, &Markup::default(), &ids).unwrap();
        let field = Field::new("action", r"Action: (\w+)").unwrap();
        let value = field.read(&turn.text, Pick::Only).unwrap();
        assert_eq!((value.text, turn.map.tokens(value.bytes)), ("go", 8..10));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn any_ids_are_read_as_their_text_is(
            words in prop::collection::vec(prop_oneof![
                prop::collection::vec(0u32..300, 0..4),
                prop::sample::select(vec!["<tool_call>", "</tool_call>", "<answer>", "</answer>", "é\"", "{\"name\":\"f\",\"arguments\":{}}"])
                    .prop_map(|word| word.bytes().map(u32::from).collect()),
                Just(vec![258]), Just(vec![259]),
            ], 0..12),
        ) {
            let text = with_special_markers();
            let ids = words.concat();
            let turn = Turn::read(&text, &markup(), &ids).unwrap();
            let found = scan(&markup(), &turn.text).unwrap();
            let events = turn.events.iter().map(|event| Found { item: event.item.clone(), bytes: event.bytes.clone() });
            prop_assert_eq!(events.collect::<Vec<_>>(), found);
            prop_assert_eq!(turn.ended, ids.iter().position(|&id| id == 257));
            let taken = turn.ended.unwrap_or(ids.len());
            let mut end = 0;
            for event in &turn.events {
                prop_assert!(event.tokens.start < event.tokens.end && event.tokens.end <= taken);
                prop_assert!(event.tokens.start + 1 >= end, "no token with text lies between two items");
                end = event.tokens.end;
            }
        }
    }
}
