//! The text side of a model as the files of a Hugging Face folder: the inverse of opening one.

use serde_json::{Map, Value, json};

use super::error::TextError;
use super::tokenizer::Text;

impl Text {
    /// Names and contents of `tokenizer.json`, `tokenizer_config.json` (with the chat template) and `generation_config.json`.
    /// `context` is the longest input that the configuration states, in tokens.
    ///
    /// # Errors
    /// The tokenizer has no form as JSON.
    pub fn files(&self, context: usize) -> Result<[(&'static str, String); 3], TextError> {
        let fault = |reason: String| TextError::Tokenizer { origin: self.origin().to_owned(), reason };
        let tokenizer = self.tokenizer().to_string(true).map_err(|error| fault(error.to_string()))?;
        let specials = self.specials();
        let mut config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": false,
            "model_max_length": context,
        });
        for (role, token) in
            [("bos", &specials.bos), ("eos", &specials.eos), ("pad", &specials.pad), ("unk", &specials.unk)]
        {
            if let Some(token) = token {
                config[format!("{role}_token")] = token.as_str().into();
            }
        }
        match self.templates() {
            [] => {}
            [(_, source)] => config["chat_template"] = source.as_str().into(),
            several => {
                let entry = |(name, source): &(String, String)| json!({"name": name, "template": source});
                config["chat_template"] = several.iter().map(entry).collect();
            }
        }
        Ok([
            ("tokenizer.json", tokenizer),
            ("tokenizer_config.json", format!("{config:#}")),
            ("generation_config.json", format!("{:#}", Value::Object(self.role_ids()))),
        ])
    }

    /// `bos_token_id`, `eos_token_id` and `pad_token_id`, as far as the model has them. The second names every token that ends
    /// an answer.
    pub fn role_ids(&self) -> Map<String, Value> {
        let specials = self.specials();
        let id = |token: &Option<String>| token.as_deref().and_then(|token| self.token_id(token)).map(Value::from);
        let ends = match &specials.end_ids[..] {
            [] => None,
            [end] => Some(Value::from(*end)),
            ends => Some(Value::from(ends)),
        };
        let roles = [("bos_token_id", id(&specials.bos)), ("eos_token_id", ends), ("pad_token_id", id(&specials.pad))];
        roles.into_iter().filter_map(|(role, id)| Some((role.to_owned(), id?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Conversation;

    #[test]
    fn what_is_written_is_the_same_text_again() {
        let folder = tempfile::tempdir().unwrap();
        let text = Text::bytes().unwrap();
        for (name, content) in text.files(2048).unwrap() {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let again = Text::open_folder(folder.path()).unwrap();
        assert_eq!((again.specials(), again.templates()), (text.specials(), text.templates()));
        let messages = [json!({"role": "user", "content": "läk \u{1F600}\n"})];
        let asked = Conversation { messages: &messages, generation_prompt: true, ..Conversation::default() };
        let ids = text.encode_conversation(asked).unwrap();
        assert_eq!(again.encode_conversation(asked).unwrap(), ids);
        assert_eq!(again.decode(&ids), text.decode(&ids));
    }
}
