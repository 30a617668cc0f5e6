//! From messages to the tokens of a prompt: the chat template, applied once to what is new.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use marft_agents::text::{Conversation, Text, TextError};
use serde_json::{Value, json};

use super::{Line, VoiceFault};

/// Stands for what the agent said in a conversation that is rendered for the sake of what follows it.
const SAID: &str = "marft:said";

/// The day that templates see which print one (26 July 2024): a prompt must not depend on when it was rendered.
const TODAY: Duration = Duration::from_hours(19_930 * 24);

/// Makes prompts for one model.
#[derive(Debug, Clone)]
pub struct Prompts {
    text: Arc<Text>,
}

impl Prompts {
    /// Prompts of the model that `text` belongs to.
    pub fn new(text: Arc<Text>) -> Self {
        Self { text }
    }

    /// The tokenizer and template behind it.
    pub fn text(&self) -> &Arc<Text> {
        &self.text
    }

    /// The tokens of a fresh context.
    ///
    /// # Errors
    /// The template refuses the messages.
    pub fn open(&self, lines: &[Line]) -> Result<Vec<u32>, VoiceFault> {
        let messages: Vec<Value> =
            lines.iter().map(|line| json!({ "role": line.role, "content": line.text })).collect();
        self.encode(&self.render(&messages)?)
    }

    /// The tokens between what the agent said last and its next words, when it is shown `text`. `ended` says that its end
    /// of turn was sampled and stands in the context already.
    ///
    /// # Errors
    /// The template refuses the messages.
    pub fn follow_up(&self, text: &str, ended: bool) -> Result<Vec<u32>, VoiceFault> {
        let messages = [
            json!({ "role": "user", "content": "marft:asked" }),
            json!({ "role": "assistant", "content": SAID }),
            json!({ "role": "user", "content": text }),
        ];
        let rendered = self.render(&messages)?;
        let Some((_, between)) = rendered.split_once(SAID) else {
            let message =
                "the chat template leaves out earlier turns, so a conversation cannot be continued".to_owned();
            return Err(VoiceFault { message, transient: false });
        };
        let ends = self.text.specials().end_ids.iter();
        let mut ends = ends.filter_map(|id| self.text.tokenizer().id_to_token(*id)).filter(|_| ended);
        let between = ends.find_map(|end| between.strip_prefix(end.as_str())).unwrap_or(between);
        self.encode(between)
    }

    /// The tokens of an answer that is put into the agent's mouth, with its end of turn.
    ///
    /// # Errors
    /// The text cannot be encoded, or the model has no end of turn.
    pub fn answer(&self, text: &str) -> Result<Vec<u32>, VoiceFault> {
        let mut ids = self.encode(text)?;
        let end = self.end_of_turn().ok_or_else(|| VoiceFault {
            message: "the model has no token that ends a turn, so it cannot be shown when to stop".to_owned(),
            transient: false,
        })?;
        ids.push(end);
        Ok(ids)
    }

    /// The id that the template puts after what the assistant says, of those that end an answer.
    fn end_of_turn(&self) -> Option<u32> {
        let messages =
            [json!({ "role": "user", "content": "marft:asked" }), json!({ "role": "assistant", "content": SAID })];
        let conversation = Conversation { messages: &messages, now: Some(today()), ..Conversation::default() };
        let rendered = self.text.render(conversation).ok()?;
        let (_, after) = rendered.split_once(SAID)?;
        let ends = &self.text.specials().end_ids;
        let named = |id: &&u32| {
            self.text.tokenizer().id_to_token(**id).is_some_and(|token| after.trim_start().starts_with(token.as_str()))
        };
        ends.iter().find(named).or(ends.first()).copied()
    }

    fn render(&self, messages: &[Value]) -> Result<String, VoiceFault> {
        let conversation =
            Conversation { messages, generation_prompt: true, now: Some(today()), ..Conversation::default() };
        self.text.render(conversation).map_err(|error| refused(&error))
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, VoiceFault> {
        self.text.encode(text).map_err(|error| refused(&error))
    }
}

fn today() -> SystemTime {
    UNIX_EPOCH + TODAY
}

fn refused(error: &TextError) -> VoiceFault {
    VoiceFault { message: error.to_string(), transient: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts() -> Prompts {
        Prompts::new(Arc::new(Text::bytes().unwrap()))
    }

    fn line(role: &'static str, text: &str) -> Line {
        Line { role, text: text.to_owned() }
    }

    #[test]
    fn a_continued_conversation_reads_as_if_rendered_whole() {
        let prompts = prompts();
        let first = [line("system", "Be brief."), line("user", "one")];
        let opened = prompts.open(&first).unwrap();
        let said = prompts.answer("two").unwrap();
        let continued = [opened, said, prompts.follow_up("three", true).unwrap()].concat();
        let [system, user] = first;
        let whole = prompts.open(&[system, user, line("assistant", "two"), line("user", "three")]).unwrap();
        assert_eq!(continued, whole);
    }

    #[test]
    fn an_answer_that_was_cut_off_gets_its_end_of_turn_from_the_template() {
        let prompts = prompts();
        let (cut, ended) = (prompts.follow_up("x", false).unwrap(), prompts.follow_up("x", true).unwrap());
        assert_eq!(cut[1..], ended[..]);
        assert_eq!(Some(cut[0]), prompts.end_of_turn());
    }
}
