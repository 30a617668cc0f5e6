//! The tokenizer of random models: one id a byte, and the marks of the ChatML format.

use serde_json::json;
use tokenizers::Tokenizer;

use super::error::TextError;
use super::specials::SpecialTokens;
use super::token_table::letter_of;
use super::tokenizer::{Text, TextParts};

const START: &str = "<|im_start|>";
const END: &str = "<|im_end|>";
const TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] \
                        + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}\
                        {% endif %}";

impl Text {
    /// Ids 0 to 255 are bytes, 256 opens a turn, 257 closes it. Needs a vocabulary of 258.
    pub fn bytes() -> Result<Self, TextError> {
        let origin = "bytes".to_owned();
        let vocabulary: serde_json::Map<_, _> =
            (0..=255).map(|byte| (letter_of(byte).to_string(), byte.into())).collect();
        let added = |id: u32, content: &str| {
            json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false})
        };
        let byte_level =
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
        let document = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
            "added_tokens": [added(256, START), added(257, END)],
            "pre_tokenizer": byte_level, "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        });
        let tokenizer = Tokenizer::from_bytes(document.to_string())
            .map_err(|error| TextError::Tokenizer { origin: origin.clone(), reason: error.to_string() })?;
        let end = Some(END.to_owned());
        let specials = SpecialTokens { eos: end.clone(), pad: end, ..SpecialTokens::default() };
        let templates = vec![("default".to_owned(), TEMPLATE.to_owned())];
        Self::new(TextParts { origin, tokenizer, specials, end_ids: Vec::new(), templates })
    }
}
