//! The text side of a model: tokenizer, special tokens and chat template in one place.

#[cfg(feature = "constrained")]
use std::sync::OnceLock;

use tokenizers::Tokenizer;

use super::chat_template::{ChatTemplate, Conversation};
use super::detokenizer::Detokenizer;
use super::error::TextError;
use super::specials::SpecialTokens;
use super::token_table::TokenTable;
#[cfg(feature = "constrained")]
use crate::parse::{ConstraintError, Constraints};

/// Turns text into token ids and back for one model. Shared freely between threads.
#[derive(Debug)]
pub struct Text {
    origin: String,
    tokenizer: Tokenizer,
    table: TokenTable,
    specials: SpecialTokens,
    template: Option<ChatTemplate>,
    #[cfg(feature = "constrained")]
    constraints: OnceLock<Result<Constraints, ConstraintError>>,
}

/// What [`Text`] is made of.
#[derive(Debug)]
pub struct TextParts {
    /// The file or folder that it came from, for errors.
    pub origin: String,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// Special tokens by role; the ids that end an answer may still be empty.
    pub specials: SpecialTokens,
    /// Ids that the files say end an answer.
    pub end_ids: Vec<u32>,
    /// `(name, source)` of the chat templates.
    pub templates: Vec<(String, String)>,
}

impl Text {
    /// Puts the parts together.
    pub fn new(parts: TextParts) -> Result<Self, TextError> {
        let TextParts { origin, tokenizer, mut specials, end_ids, templates } = parts;
        let table =
            TokenTable::new(&tokenizer).map_err(|reason| TextError::Tokenizer { origin: origin.clone(), reason })?;
        specials.find_ends(&tokenizer, end_ids);
        let template = if templates.is_empty() { None } else { Some(ChatTemplate::new(templates, &origin)?) };
        Ok(Self {
            origin,
            tokenizer,
            table,
            specials,
            template,
            #[cfg(feature = "constrained")]
            constraints: OnceLock::new(),
        })
    }

    /// The file or folder that it came from, for errors.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Ids of `text` as it stands: special tokens written in it become their ids, none are added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        self.ids(text, false)
    }

    /// Ids of a plain document: with the begin-of-text token where the model wants one.
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>, TextError> {
        self.ids(text, true)
    }

    /// The text of `ids` without special tokens.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.table.text(ids)
    }

    /// A streaming [`decode`](Self::decode).
    pub fn detokenizer(&self) -> Detokenizer<'_> {
        Detokenizer::new(&self.table)
    }

    /// What holds answers to a form, made when it is first asked for.
    #[cfg(feature = "constrained")]
    pub fn constraints(&self) -> Result<&Constraints, ConstraintError> {
        self.constraints.get_or_init(|| Constraints::new(self)).as_ref().map_err(Clone::clone)
    }

    /// The bytes behind the ids.
    pub fn table(&self) -> &TokenTable {
        &self.table
    }

    /// Special tokens, and the ids that end an answer.
    pub fn specials(&self) -> &SpecialTokens {
        &self.specials
    }

    /// The id of a token written exactly so.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The tokenizer itself, for what needs its vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// `(name, source)` of the chat templates, as they came.
    pub fn templates(&self) -> &[(String, String)] {
        self.template.as_ref().map_or(&[], ChatTemplate::sources)
    }

    /// Whether the model has a chat template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The prompt of a conversation as text.
    pub fn render(&self, conversation: Conversation<'_>) -> Result<String, TextError> {
        let template = self.template.as_ref();
        template
            .ok_or_else(|| TextError::NoTemplate { origin: self.origin.clone() })?
            .render(conversation, &self.specials)
    }

    /// The prompt of a conversation as ids.
    pub fn encode_conversation(&self, conversation: Conversation<'_>) -> Result<Vec<u32>, TextError> {
        self.encode(&self.render(conversation)?)
    }

    fn ids(&self, text: &str, specials: bool) -> Result<Vec<u32>, TextError> {
        let encoding = self.tokenizer.encode_fast(text, specials);
        encoding
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| TextError::Encode { reason: error.to_string() })
    }
}
