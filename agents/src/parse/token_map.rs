//! Which tokens a stretch of decoded text came from.
//!
//! Training weighs tokens, parsers find text. A character may be spread over tokens, a token may hold parts of two items: every
//! token that holds a byte of a stretch belongs to its range, so the ranges of neighbouring items may share a token.

use std::ops::Range;

/// Maps bytes of a turn's text to tokens of its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenMap {
    pieces: Vec<Piece>,
    end: usize,
}

/// The text that one token completed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    start: usize,
    /// The token that holds the first byte of the piece's first character.
    first: usize,
    token: usize,
}

impl TokenMap {
    /// Notes that `token` completed `length` bytes of text, whose first character began in token `first`.
    pub(super) fn push(&mut self, length: usize, first: usize, token: usize) {
        if length > 0 {
            self.pieces.push(Piece { start: self.end, first, token });
            self.end += length;
        }
    }

    /// The tokens that hold `bytes` of the text, as a range of indices into the answer. An empty stretch lies in the token of the
    /// byte that follows it, and has no token at the end of the text.
    pub fn tokens(&self, bytes: Range<usize>) -> Range<usize> {
        let piece = |byte: usize| self.pieces.partition_point(|piece| piece.start <= byte).checked_sub(1);
        let after = self.pieces.last().map_or(0, |piece| piece.token + 1);
        if bytes.start >= self.end {
            return after..after;
        }
        let begin = piece(bytes.start).map(|index| &self.pieces[index]);
        let last = piece(bytes.end.clamp(bytes.start + 1, self.end) - 1).map(|index| &self.pieces[index]);
        match (begin, last) {
            (Some(begin), Some(last)) => {
                let first = if begin.start == bytes.start { begin.first } else { begin.token };
                first..last.token + 1
            }
            _ => after..after,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_over_tokens_and_tokens_over_characters() {
        let mut map = TokenMap::default();
        map.push(2, 0, 0); // "ab"
        map.push(0, 1, 1); // a special token
        map.push(0, 2, 2); // the first byte of "é"
        map.push(3, 2, 3); // its second byte, and "c"
        assert_eq!(map.tokens(0..1), 0..1);
        assert_eq!(map.tokens(1..4), 0..4);
        assert_eq!(map.tokens(2..4), 2..4);
        assert_eq!(map.tokens(4..5), 3..4);
        assert_eq!(map.tokens(4..4), 3..4);
        assert_eq!(map.tokens(5..5), 4..4);
        assert_eq!(map.tokens(9..12), 4..4);
        assert_eq!(TokenMap::default().tokens(0..3), 0..0);
    }
}
