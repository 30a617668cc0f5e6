//! Special tokens by their roles, and the ids that end an answer.

use serde_json::Value;
use tokenizers::Tokenizer;

/// Special tokens of a model, as its template names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Begin of text.
    pub bos: Option<String>,
    /// End of text.
    pub eos: Option<String>,
    /// Fills short rows of a batch; often equal to the end of text.
    pub pad: Option<String>,
    /// Stands for what the vocabulary lacks.
    pub unk: Option<String>,
    /// Ids after which an answer is over, ascending.
    pub end_ids: Vec<u32>,
}

/// Ends of a turn in the known chat formats: where the vocabulary has one, it ends an answer whatever the files say.
const TURN_ENDS: [&str; 4] = ["<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|eom_id|>"];

impl SpecialTokens {
    /// The tokens named in `tokenizer_config.json`.
    pub(super) fn from_config(config: &Value) -> Self {
        let token = |key: &str| {
            let value = config.get(key)?;
            value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
        };
        Self {
            bos: token("bos_token"),
            eos: token("eos_token"),
            pad: token("pad_token"),
            unk: token("unk_token"),
            end_ids: Vec::new(),
        }
    }

    /// Fills the ids that end an answer: `stated` ones, the end of text, and the ends of turns that are special tokens.
    pub(super) fn find_ends(&mut self, tokenizer: &Tokenizer, stated: impl IntoIterator<Item = u32>) {
        let added = tokenizer.get_added_vocabulary();
        let turn_ends = TURN_ENDS.into_iter().filter(|token| added.is_special_token(token));
        let named = turn_ends.chain(self.eos.as_deref()).filter_map(|token| tokenizer.token_to_id(token));
        self.end_ids = stated.into_iter().chain(named).collect();
        self.end_ids.sort_unstable();
        self.end_ids.dedup();
    }
}
