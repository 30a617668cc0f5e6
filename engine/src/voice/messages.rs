//! A conversation as the messages of the chat protocol.
//!
//! The world keeps one form of calls and results, the text in which a model writes them. A server that is told of tools as the
//! protocol has them is shown earlier calls and results as the protocol has them too, wherever the text says which result belongs
//! to which call; what is not clear stays text, which every server takes.

use marft_agents::parse::{ToolCall, ToolCallParse, find_tool_calls};
use serde_json::{Value, json};

use super::Line;

/// What stands around a result.
const RESULT: (&str, &str) = ("<tool_response>\n", "\n</tool_response>");

/// The messages of `lines`. Calls of `tools`, declared as the protocol does, are messages of their own kind.
pub(super) fn messages(lines: &[Line], tools: &[Value]) -> Vec<Value> {
    let mut messages = vec![];
    let mut calls = 0;
    let mut rest = lines;
    while let Some((line, later)) = rest.split_first() {
        rest = later;
        let exchange = later.first().and_then(|next| Exchange::read(line, next, tools));
        let Some(exchange) = exchange else {
            messages.push(json!({ "role": line.role, "content": line.text }));
            continue;
        };
        messages.extend(exchange.messages(calls));
        calls += exchange.calls.len();
        rest = &later[1..];
    }
    messages
}

/// Calls with their results.
struct Exchange<'l> {
    said: String,
    calls: Vec<ToolCall>,
    results: Vec<&'l str>,
}

impl<'l> Exchange<'l> {
    /// Reads what an agent said and was shown next; `None` where calls and results do not belong together one by one.
    fn read(line: &Line, next: &'l Line, tools: &[Value]) -> Option<Self> {
        if line.role != "assistant" || next.role != "user" || tools.is_empty() {
            return None;
        }
        let inside = next.text.strip_prefix(RESULT.0)?.strip_suffix(RESULT.1)?;
        let results: Vec<&str> = inside.split(&*format!("{}\n{}", RESULT.1, RESULT.0)).collect();
        let (mut said, mut calls, mut at) = (String::new(), vec![], 0);
        for (parse, bytes) in find_tool_calls(&line.text) {
            let ToolCallParse::Complete(call) = parse else { return None };
            // a server may refuse a call of what it was not told of
            if !tools.iter().any(|tool| tool["function"]["name"] == *call.name) {
                return None;
            }
            said.push_str(&line.text[at..bytes.start]);
            at = bytes.end;
            calls.push(call);
        }
        said.push_str(&line.text[at..]);
        (calls.len() == results.len()).then_some(Self { said, calls, results })
    }

    /// Its messages; `before` calls stand in the conversation already.
    fn messages(&self, before: usize) -> Vec<Value> {
        let id = |at: usize| format!("call_{}", before + at);
        let call = |(at, call): (usize, &ToolCall)| {
            let arguments = Value::from(call.arguments.clone()).to_string();
            json!({ "id": id(at), "type": "function", "function": { "name": call.name, "arguments": arguments } })
        };
        let calls: Vec<Value> = self.calls.iter().enumerate().map(call).collect();
        let said = json!({ "role": "assistant", "content": self.said.trim(), "tool_calls": calls });
        let result = |(at, text): (usize, &&str)| json!({ "role": "tool", "tool_call_id": id(at), "content": text });
        std::iter::once(said).chain(self.results.iter().enumerate().map(result)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(role: &'static str, text: &str) -> Line {
        Line { role, text: text.to_owned() }
    }

    fn call(expression: &str) -> String {
        let call = json!({ "name": "calculator", "arguments": { "expression": expression } });
        format!("<tool_call>\n{call}\n</tool_call>")
    }

    fn tools() -> [Value; 1] {
        [json!({ "type": "function", "function": { "name": "calculator" } })]
    }

    #[test]
    fn calls_and_results_are_paired_by_their_order() {
        let said = format!("Let me see. {}{}", call("6 * 7"), call("1 + 1"));
        let shown = "<tool_response>\n42\n</tool_response>\n<tool_response>\n2\n</tool_response>";
        let lines = [line("user", "q"), line("assistant", &said), line("user", shown), line("assistant", "42 and 2")];
        let got = messages(&lines, &tools());
        assert_eq!(got.len(), 5, "{got:?}");
        assert_eq!(got[1]["content"], "Let me see.");
        assert_eq!(got[1]["tool_calls"][1]["function"]["arguments"], r#"{"expression":"1 + 1"}"#);
        assert_eq!(got[1]["tool_calls"][0]["id"], got[2]["tool_call_id"]);
        assert_eq!((&got[2]["role"], &got[2]["content"]), (&json!("tool"), &json!("42")));
        assert_eq!((&got[3]["tool_call_id"], &got[3]["content"]), (&got[1]["tool_calls"][1]["id"], &json!("2")));
    }

    #[test]
    fn what_is_not_clear_stays_text() {
        let shown = "<tool_response>\n42\n</tool_response>";
        let unknown = call("6 * 7").replace("calculator", "oracle");
        let torn = format!("{}<tool_call>\n{{", call("6 * 7"));
        for said in [format!("{}{}", call("6 * 7"), call("1 + 1")), unknown, torn, "no call".to_owned()] {
            let got = messages(&[line("assistant", &said), line("user", shown)], &tools());
            assert_eq!(got, [json!({"role": "assistant", "content": said}), json!({"role": "user", "content": shown})]);
        }
        let said = call("6 * 7");
        let got = messages(&[line("assistant", &said), line("user", shown)], &[]);
        assert_eq!(got[0]["content"], said, "a server that was told of no tools knows none");
    }
}
