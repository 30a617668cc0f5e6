//! Stop strings on a stream of tokens.
//!
//! Text is matched as bytes: a stop string may begin in the middle of one token and end in the middle of another, and a token
//! may end in the middle of a character. Nothing is decoded, so nothing can be decoded wrongly.

use std::fmt::Debug;
use std::sync::Arc;

#[cfg(feature = "constrained")]
use crate::parse::{ConstraintError, Constraints};
use crate::text::Text;

/// The bytes that a token stands for in running text; special tokens stand for none.
pub trait TokenBytes: Send + Sync + Debug {
    /// Bytes of `id`, empty for special ids and ids outside the vocabulary.
    fn bytes(&self, id: u32) -> &[u8];

    /// What holds answers to a form, where the tokens stand for text.
    #[cfg(feature = "constrained")]
    fn constraints(&self) -> Result<&Constraints, ConstraintError> {
        Err(ConstraintError::NoText)
    }
}

impl TokenBytes for Text {
    fn bytes(&self, id: u32) -> &[u8] {
        self.table().bytes(id)
    }

    #[cfg(feature = "constrained")]
    fn constraints(&self) -> Result<&Constraints, ConstraintError> {
        Self::constraints(self)
    }
}

/// Watches one answer for its stop strings.
#[derive(Debug)]
pub struct StopMatcher {
    patterns: Vec<Pattern>,
    tokens: Arc<dyn TokenBytes>,
}

/// Knuth, Morris and Pratt's automaton of one stop string.
#[derive(Debug)]
struct Pattern {
    bytes: Vec<u8>,
    /// `fallback[i]`: length of the longest proper border of the first `i + 1` bytes.
    fallback: Vec<usize>,
    matched: usize,
}

impl Pattern {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut fallback = vec![0; bytes.len()];
        for i in 1..bytes.len() {
            let mut border = fallback[i - 1];
            while border > 0 && bytes[i] != bytes[border] {
                border = fallback[border - 1];
            }
            fallback[i] = border + usize::from(bytes[i] == bytes[border]);
        }
        Self { bytes, fallback, matched: 0 }
    }

    /// Takes one byte of text; true when it completes the string. A completed string is not looked for again.
    fn push(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.bytes[self.matched] != byte {
            self.matched = self.fallback[self.matched - 1];
        }
        self.matched += usize::from(self.bytes[self.matched] == byte);
        self.matched == self.bytes.len()
    }
}

impl StopMatcher {
    /// A matcher for `stop`, none of them empty; `None` if there is nothing to watch for.
    pub fn new(stop: &[String], tokens: &Arc<dyn TokenBytes>) -> Option<Self> {
        if stop.is_empty() {
            return None;
        }
        Some(Self { patterns: stop.iter().map(|text| Pattern::new(text)).collect(), tokens: Arc::clone(tokens) })
    }

    /// Takes the next token; the index of the stop string it completes first, the lowest if several end at the same byte.
    pub fn push(&mut self, id: u32) -> Option<u32> {
        for &byte in self.tokens.bytes(id) {
            let mut hit = None;
            for (index, pattern) in self.patterns.iter_mut().enumerate() {
                if pattern.push(byte) && hit.is_none() {
                    hit = Some(index as u32);
                }
            }
            if hit.is_some() {
                return hit;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ids are indices into a list of byte strings.
    #[derive(Debug)]
    struct Table(Vec<Vec<u8>>);

    impl TokenBytes for Table {
        fn bytes(&self, id: u32) -> &[u8] {
            self.0.get(id as usize).map_or(&[], Vec::as_slice)
        }
    }

    fn run(stop: &[&str], tokens: &[&[u8]]) -> Option<(usize, u32)> {
        let table: Arc<dyn TokenBytes> = Arc::new(Table(tokens.iter().map(|t| t.to_vec()).collect()));
        let stop: Vec<String> = stop.iter().map(|&s| s.to_owned()).collect();
        let mut matcher = StopMatcher::new(&stop, &table).unwrap();
        (0..tokens.len()).find_map(|i| matcher.push(i as u32).map(|hit| (i, hit)))
    }

    #[test]
    fn strings_are_found_across_tokens_and_inside_characters() {
        assert_eq!(run(&["</answer>"], &[b"<answer>4</", b"ans", b"wer> and"]), Some((2, 0)));
        let snowman = "☃".as_bytes();
        assert_eq!(run(&["☃!"], &[&snowman[..1], &snowman[1..], b"?", snowman, b"!"]), Some((4, 0)));
        assert_eq!(run(&["aab"], &[b"a", b"a", b"a", b"b"]), Some((3, 0)));
        assert_eq!(run(&["xy", "y"], &[b"x", b"y"]), Some((1, 0)));
        assert_eq!(run(&["zz", "y"], &[b"x", b"y"]), Some((1, 1)));
        assert_eq!(run(&["stop"], &[b"st", b"", b"op"]), Some((2, 0)), "a special token stands for no text");
        assert_eq!(run(&["stop"], &[b"st op"]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn the_first_token_that_completes_a_string_is_found(text in "[ab]{0,24}", stop in "[ab]{1,4}", cuts in prop::collection::vec(0usize..24, 0..6)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            let tokens: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            let end = text.find(&stop).map(|at| at + stop.len());
            let want = end.map(|end| cuts[1..].iter().position(|&cut| cut >= end).unwrap());
            prop_assert_eq!(run(&[&stop], &tokens).map(|hit| hit.0), want);
        }
    }
}
