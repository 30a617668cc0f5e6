//! The words of a turn, cut at the tokens that a policy sampled: what rewards for single tokens are given by.

/// What an agent said in the turn that is judged, and where its tokens end in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken<'a> {
    /// The words of the turn, whole, without special tokens.
    pub text: &'a str,
    /// Where each token ends in `text`, in bytes, never falling. A token that completes no character, as one that ends the
    /// turn, ends where the one before it does.
    pub ends: &'a [usize],
}

impl<'a> Spoken<'a> {
    /// How many tokens there are.
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The token that completes the character at a byte of the text; `None` behind the text.
    pub fn token_at(&self, byte: usize) -> Option<usize> {
        let token = self.ends.partition_point(|end| *end <= byte);
        (token < self.ends.len()).then_some(token)
    }

    /// The text of each token.
    pub fn tokens(&self) -> impl Iterator<Item = &'a str> {
        let Self { text, ends } = *self;
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(move |(start, end)| text.get(start..*end).unwrap_or_default())
    }
}

/// A reward on one token of what was spoken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenReward {
    /// Which, from 0, as in [`Spoken::ends`].
    pub token: usize,
    /// How much.
    pub reward: f64,
}

/// Where tokens of these bytes end in `text`; `None` where the text is not theirs. Bytes that form no character stand as
/// U+FFFD in it.
pub(crate) fn ends<'b>(text: &str, tokens: impl Iterator<Item = &'b [u8]>) -> Option<Vec<usize>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut sampled: Vec<usize> = vec![];
    for token in tokens {
        bytes.extend_from_slice(token);
        sampled.push(bytes.len());
    }
    if String::from_utf8_lossy(&bytes) != text {
        return None;
    }
    let mut ends = Vec::with_capacity(sampled.len());
    let mut rest = sampled.into_iter().peekable();
    // where the chunk at hand begins in the bytes, and in the text
    let (mut start, mut told) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        let (valid, broken) = (chunk.valid(), chunk.invalid().len());
        let mark = if broken > 0 { char::REPLACEMENT_CHARACTER.len_utf8() } else { 0 };
        let whole = start + valid.len() + broken;
        while let Some(end) = rest.next_if(|end| *end <= whole) {
            let end_in_text = if end == whole { valid.len() + mark } else { valid.floor_char_boundary(end - start) };
            ends.push(told + end_in_text);
        }
        (start, told) = (whole, told + valid.len() + mark);
    }
    ends.extend(rest.map(|_| told));
    Some(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_cut_out_of_the_text_and_found_by_byte() {
        let text = "no, 12";
        let ends = ends(text, ["no", ",", " 12", ""].iter().map(|token| token.as_bytes())).unwrap();
        let spoken = Spoken { text, ends: &ends };
        assert_eq!(spoken.tokens().collect::<Vec<_>>(), ["no", ",", " 12", ""]);
        assert_eq!([0, 1, 2, 3, 5].map(|byte| spoken.token_at(byte)), [0, 0, 1, 2, 2].map(Some));
        assert_eq!((spoken.token_at(6), spoken.len(), spoken.is_empty()), (None, 4, false));
    }

    #[test]
    fn a_character_belongs_to_the_token_that_completes_it() {
        // é and 猫 in pieces, and a byte that is no character
        let tokens: [&[u8]; 6] = [b"\xc3", b"\xa9x", b"\xe7\x8c", b"\xab", b"\xff", b""];
        let text = "éx猫\u{fffd}";
        assert_eq!(ends(text, tokens.into_iter()).unwrap(), [0, 3, 3, 6, 9, 9]);
        // a character that never comes to its end
        assert_eq!(ends("a\u{fffd}", [b"a".as_slice(), b"\xe7", b"\x8c"].into_iter()).unwrap(), [1, 1, 4]);
    }

    #[test]
    fn words_that_are_not_of_these_tokens_are_not_cut() {
        assert_eq!(ends("other", [b"words".as_slice()].into_iter()), None);
        assert_eq!(ends("", std::iter::empty()), Some(vec![]));
    }
}
