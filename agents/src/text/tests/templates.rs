//! Templates as transformers renders them (`tests/reference/templates.py`), and what they may refuse.

use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::text::{ChatTemplate, Conversation, SpecialTokens, TextError};

fn template(source: &str) -> Result<ChatTemplate, TextError> {
    ChatTemplate::new([("default".to_owned(), source.to_owned())], "test")
}

fn specials() -> SpecialTokens {
    SpecialTokens { bos: Some("<s>".to_owned()), eos: Some("</s>".to_owned()), ..SpecialTokens::default() }
}

#[test]
fn templates_render_as_in_transformers() {
    #[derive(Deserialize)]
    struct Case {
        template: String,
        messages: Vec<Value>,
        tools: Option<Vec<Value>>,
        rendered: String,
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/templates.json");
    let cases: Vec<Case> = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    assert_eq!(cases.len(), 16);
    for case in cases {
        let conversation = Conversation {
            messages: &case.messages,
            tools: case.tools.as_deref(),
            generation_prompt: true,
            ..Conversation::default()
        };
        let rendered = template(&case.template).unwrap().render(conversation, &specials()).unwrap();
        assert_eq!(rendered, case.rendered, "{}", case.template);
    }
}

#[test]
fn a_template_may_refuse_a_conversation_in_its_own_words() {
    let template =
        template("{% if messages[0].role != 'user' %}{{ raise_exception('start with the user') }}{% endif %}");
    let messages = [json!({"role": "assistant", "content": "hi"})];
    let conversation = Conversation { messages: &messages, ..Conversation::default() };
    let error = template.unwrap().render(conversation, &specials()).unwrap_err();
    assert!(matches!(&error, TextError::Refused { reason } if reason.starts_with("start with the user")), "{error}");
}

#[test]
fn a_broken_template_names_its_model_and_line() {
    let error = template("a\n{% if %}").unwrap_err().to_string();
    assert!(error.contains("`test`") && error.contains("line 2"), "{error}");
    let none = ChatTemplate::new([("rag".to_owned(), String::new())], "test").unwrap_err().to_string();
    assert!(none.contains("none is the default"), "{none}");
}

#[test]
fn the_clock_is_the_callers() {
    let template = template("{{ strftime_now('%d %b %Y') }}").unwrap();
    let now = Some(UNIX_EPOCH + Duration::from_hours(474_768));
    let rendered = template.render(Conversation { now, ..Conversation::default() }, &specials()).unwrap();
    assert_eq!(rendered, "29 Feb 2024");
}

#[test]
fn conversations_with_tools_take_the_template_for_them() {
    let named = |name: &str, source: &str| (name.to_owned(), source.to_owned());
    let template = ChatTemplate::new([named("default", "plain"), named("tool_use", "{{ tools | length }}")], "test");
    let template = template.unwrap();
    let tools = [json!({"name": "f"})];
    let render = |tools| template.render(Conversation { tools, ..Conversation::default() }, &specials()).unwrap();
    assert_eq!(
        (render(None).as_str(), render(Some(&[])).as_str(), render(Some(&tools)).as_str()),
        ("plain", "plain", "1")
    );
}

#[test]
fn variables_reach_the_template_but_do_not_replace_the_messages() {
    let template = template("{{ enable_thinking }} {{ messages | length }}").unwrap();
    let variables = json!({"enable_thinking": false, "messages": [1, 2, 3]});
    let conversation = Conversation { variables: variables.as_object(), ..Conversation::default() };
    assert_eq!(template.render(conversation, &specials()).unwrap(), "False 0");
}
