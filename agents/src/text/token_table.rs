//! The bytes behind every token id.
//!
//! A decoder that works on bytes can stop in the middle of a character and go on; one that works on strings cannot.

use tokenizers::Tokenizer;

/// Bytes of each token in running text; special tokens stand for none.
#[derive(Debug, Clone, Default)]
pub struct TokenTable {
    bytes: Vec<u8>,
    /// Token `id` is `bytes[starts[id]..starts[id + 1]]`.
    starts: Vec<u32>,
}

/// How a vocabulary writes bytes as characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// GPT-2's: one printable character a byte.
    ByteLevel,
    /// SentencePiece's: `▁` for a space, `<0x0A>` for a byte without a character.
    SentencePiece,
}

impl TokenTable {
    /// Reads the table off a tokenizer. The error says what its decoder does that is not known.
    pub(super) fn new(tokenizer: &Tokenizer) -> Result<Self, String> {
        let spelling = spelling(tokenizer)?;
        let added = tokenizer.get_added_tokens_decoder();
        let size = tokenizer.get_vocab_size(true) as u32;
        let last = added.keys().max().map_or(0, |id| id + 1);
        let mut table = Self { bytes: Vec::new(), starts: vec![0] };
        for id in 0..size.max(last) {
            match added.get(&id) {
                Some(token) if token.special => {}
                Some(token) => table.bytes.extend(token.content.as_bytes()),
                None => {
                    let token = tokenizer.id_to_token(id).unwrap_or_default();
                    spell(spelling, &token, &mut table.bytes);
                }
            }
            table.starts.push(table.bytes.len() as u32);
        }
        Ok(table)
    }

    /// Bytes of `id`: none for special tokens and for ids outside the vocabulary.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match self.starts.get(id..id + 2) {
            Some(&[start, end]) => &self.bytes[start as usize..end as usize],
            _ => &[],
        }
    }

    /// Number of ids known.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether no id is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The text of `ids`; bytes that form no character become U+FFFD.
    pub fn text(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn spelling(tokenizer: &Tokenizer) -> Result<Spelling, String> {
    let decoder = serde_json::to_string(&tokenizer.get_decoder()).map_err(|error| error.to_string())?;
    if decoder.contains("ByteLevel") {
        Ok(Spelling::ByteLevel)
    } else if decoder.contains('▁') || decoder.contains("ByteFallback") {
        Ok(Spelling::SentencePiece)
    } else {
        Err(format!("its decoder is neither byte-level nor SentencePiece's: {decoder}"))
    }
}

fn spell(spelling: Spelling, token: &str, bytes: &mut Vec<u8>) {
    match spelling {
        Spelling::ByteLevel => match token.chars().map(byte_of).collect::<Option<Vec<u8>>>() {
            Some(spelt) => bytes.extend(spelt),
            None => bytes.extend(token.as_bytes()),
        },
        Spelling::SentencePiece => match byte_token(token) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend(token.replace('▁', " ").as_bytes()),
        },
    }
}

/// `<0x0A>` as a byte.
fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The byte that GPT-2's alphabet writes as `letter`: printable Latin-1 characters stand for themselves, the other 68
/// bytes follow from U+0100 on in their order.
fn byte_of(letter: char) -> Option<u8> {
    let code = letter as u32;
    match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => Some(code as u8),
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The character that GPT-2's alphabet writes for `byte`.
pub(super) fn letter_of(byte: u8) -> char {
    let code = u32::from(byte);
    let letter = match code {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => code,
        0x00..=0x20 => code + 0x100,
        0x7f..=0xa0 => code - 0x7f + 0x121,
        _ => 0x143,
    };
    char::from_u32(letter).unwrap_or_else(|| unreachable!("every letter of the alphabet is below U+0144"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_is_a_bijection() {
        for byte in 0..=255 {
            assert_eq!(byte_of(letter_of(byte)), Some(byte));
        }
        assert_eq!((letter_of(b' '), letter_of(b'\n'), letter_of(b'a')), ('Ġ', 'Ċ', 'a'));
    }

    #[test]
    fn byte_tokens_need_two_digits() {
        assert_eq!(byte_token("<0x0A>"), Some(10));
        assert_eq!(byte_token("<0xA>"), None);
        assert_eq!(byte_token("<0xZZ>"), None);
    }
}
