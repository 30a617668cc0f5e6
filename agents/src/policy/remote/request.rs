//! What is sent: the body of a chat or completion call.

use serde_json::{Map, Value, json};

use crate::generate::Sampling;
use crate::parse::Form;

/// Which of the two protocols is spoken.
#[derive(Debug, Clone, PartialEq)]
pub enum Endpoint {
    /// `chat/completions`: messages with `role` and `content`.
    Chat(Vec<Value>),
    /// `completions`: a text that is continued.
    Completion(String),
}

impl Endpoint {
    pub(super) fn path(&self) -> &'static str {
        match self {
            Self::Chat(_) => "chat/completions",
            Self::Completion(_) => "completions",
        }
    }
}

/// One call.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteRequest {
    /// What is continued.
    pub endpoint: Endpoint,
    /// How. Stop ids, suppressed ids, `top_k`, `min_p` and the repetition penalty are sent where they are set; they are
    /// extensions that vLLM and SGLang know.
    pub sampling: Sampling,
    /// Seed of the server's random numbers.
    pub seed: Option<u64>,
    /// Tools as JSON schemas, for chat.
    pub tools: Vec<Value>,
    /// Whether the log-probability of every token is asked for; an answer without them is then an error.
    pub logprobs: bool,
    /// Another adapter or model than the configured one, for this call.
    pub model: Option<String>,
}

impl RemoteRequest {
    /// A chat call with defaults.
    pub fn chat(messages: Vec<Value>, sampling: Sampling) -> Self {
        let endpoint = Endpoint::Chat(messages);
        Self { endpoint, sampling, seed: None, tools: vec![], logprobs: false, model: None }
    }

    /// The JSON body.
    pub(super) fn body(&self, model: &str, stream: bool) -> Value {
        let Sampling { temperature, top_k, top_p, min_p, .. } = &self.sampling;
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(self.model.as_deref().unwrap_or(model)));
        match &self.endpoint {
            Endpoint::Chat(messages) => {
                body.insert("messages".to_owned(), json!(messages));
                body.insert("logprobs".to_owned(), json!(self.logprobs));
            }
            Endpoint::Completion(prompt) => {
                body.insert("prompt".to_owned(), json!(prompt));
                if self.logprobs {
                    body.insert("logprobs".to_owned(), json!(0));
                }
            }
        }
        body.insert("max_tokens".to_owned(), json!(self.sampling.max_tokens));
        body.insert("temperature".to_owned(), json!(f64::from(*temperature)));
        body.insert("top_p".to_owned(), json!(f64::from(*top_p)));
        body.insert("stream".to_owned(), json!(stream));
        let mut extension = |key: &str, set: bool, value: Value| {
            if set {
                body.insert(key.to_owned(), value);
            }
        };
        // a stream counts its tokens only where it is told to
        extension("stream_options", stream, json!({ "include_usage": true }));
        extension("seed", self.seed.is_some(), json!(self.seed));
        extension("stop", !self.sampling.stop.is_empty(), json!(self.sampling.stop));
        extension("stop_token_ids", !self.sampling.stop_ids.is_empty(), json!(self.sampling.stop_ids));
        extension("presence_penalty", self.sampling.presence_penalty != 0.0, json!(self.sampling.presence_penalty));
        extension(
            "repetition_penalty",
            self.sampling.repetition_penalty != 1.0,
            json!(self.sampling.repetition_penalty),
        );
        extension("top_k", *top_k != 0, json!(top_k));
        extension("min_p", *min_p != 0.0, json!(min_p));
        let bias: Map<String, Value> =
            self.sampling.suppressed.iter().map(|id| (id.to_string(), json!(-100))).collect();
        extension("logit_bias", !bias.is_empty(), Value::Object(bias));
        match &self.sampling.constraint {
            Some(Form::JsonSchema(schema)) => {
                let schema = json!({"name": "answer", "schema": schema, "strict": true});
                extension("response_format", true, json!({"type": "json_schema", "json_schema": schema}));
            }
            // vLLM's and SGLang's names.
            Some(Form::Regex(regex)) => {
                extension("structured_outputs", true, json!({"regex": regex}));
                extension("regex", true, json!(regex));
            }
            None => {}
        }
        extension("tools", !self.tools.is_empty(), json!(self.tools));
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_set_is_sent() {
        let messages = vec![json!({"role": "user", "content": "hi"})];
        let request = RemoteRequest::chat(messages, Sampling { max_tokens: 5, ..Sampling::default() });
        let body = request.body("m", false);
        let expected = json!({
            "model": "m", "messages": [{"role": "user", "content": "hi"}], "logprobs": false, "max_tokens": 5,
            "temperature": 1.0, "top_p": 1.0, "stream": false,
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn forms_go_out_under_the_names_that_servers_know() {
        let body = |form| {
            let sampling = Sampling { constraint: Some(form), ..Sampling::default() };
            RemoteRequest::chat(vec![], sampling).body("m", false)
        };
        let schema = body(Form::JsonSchema(json!({"type": "boolean"})));
        assert_eq!(schema["response_format"]["json_schema"]["schema"], json!({"type": "boolean"}));
        let regex = body(Form::Regex("a+".to_owned()));
        assert_eq!((&regex["structured_outputs"]["regex"], &regex["regex"]), (&json!("a+"), &json!("a+")));
    }

    #[test]
    fn suppressed_ids_and_extensions() {
        let sampling = Sampling { suppressed: vec![7], stop: vec!["\n".to_owned()], top_k: 4, ..Sampling::default() };
        let mut request = RemoteRequest::chat(vec![], sampling);
        request.endpoint = Endpoint::Completion("once".to_owned());
        (request.logprobs, request.model) = (true, Some("lora-3".to_owned()));
        let body = request.body("m", true);
        assert_eq!(body["logit_bias"], json!({"7": -100}));
        assert_eq!((&body["top_k"], &body["stop"], &body["logprobs"]), (&json!(4), &json!(["\n"]), &json!(0)));
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!((&body["model"], &body["prompt"]), (&json!("lora-3"), &json!("once")));
    }
}
