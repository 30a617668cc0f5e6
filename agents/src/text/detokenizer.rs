//! Text of a stream of tokens, whole characters at a time.

use super::token_table::TokenTable;

/// Turns ids into text as they come. A character split over tokens appears with its last byte.
#[derive(Debug, Clone)]
pub struct Detokenizer<'a> {
    table: &'a TokenTable,
    pending: Vec<u8>,
}

impl<'a> Detokenizer<'a> {
    /// Starts a stream.
    pub fn new(table: &'a TokenTable) -> Self {
        Self { table, pending: Vec::new() }
    }

    /// The text that `id` completes; bytes that can form no character become U+FFFD.
    pub fn push(&mut self, id: u32) -> String {
        self.pending.extend(self.table.bytes(id));
        let mut text = String::new();
        let mut rest = &self.pending[..];
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(bad) = error.error_len() else { break };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[bad..];
                }
            }
        }
        self.pending = rest.to_vec();
        text
    }

    /// Number of bytes that wait for the rest of their character.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Ends the stream: an unfinished character becomes U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}
