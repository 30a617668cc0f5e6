//! What can go wrong between text and token ids.

/// Why text could not be turned into ids, or a conversation into text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The tokenizer of a model cannot be read or built.
    #[error("the tokenizer of `{origin}` cannot be used: {reason}")]
    Tokenizer {
        /// The file or folder.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The chat template of a model is not valid.
    #[error("the chat template of `{origin}` does not compile: {reason}")]
    Template {
        /// The file or folder.
        origin: String,
        /// The template engine's message, with the line.
        reason: String,
    },
    /// A model without a chat template was given messages.
    #[error("`{origin}` has no chat template, so it takes plain text only")]
    NoTemplate {
        /// The file or folder.
        origin: String,
    },
    /// The template refused the conversation, or asked for a field that its messages lack.
    #[error("the chat template refused the conversation: {reason}")]
    Refused {
        /// The template's own message where it raised one.
        reason: String,
    },
    /// The text cannot be encoded.
    #[error("cannot tokenize the text: {reason}")]
    Encode {
        /// The tokenizer's message.
        reason: String,
    },
}
