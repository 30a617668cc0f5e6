//! A policy of the team file that is a server: what its keys make of a request.

use std::net::TcpListener;
use std::sync::Mutex;

use axum::extract::State;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::*;
use crate::io::Io;

/// Bodies of requests, each with its key.
type Seen = Arc<Mutex<Vec<(Value, String)>>>;

fn event(delta: Value, finish: Option<&str>) -> String {
    let token = json!({ "content": [{ "token": "x", "logprob": -0.5 }] });
    format!("data: {}\n\n", json!({ "choices": [{ "delta": delta, "finish_reason": finish, "logprobs": token }] }))
}

/// Calls the calculator, then says what it gave.
async fn answer(State(seen): State<Seen>, headers: HeaderMap, body: String) -> String {
    let body: Value = serde_json::from_str(&body).unwrap();
    let after = body["messages"].as_array().unwrap().iter().find(|line| line["role"] == "tool").cloned();
    let key = headers.get("authorization").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default();
    seen.lock().unwrap().push((body, key));
    let usage = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":7}}\n\ndata: [DONE]\n\n";
    let call =
        json!({ "index": 0, "id": "a", "function": { "name": "calculator", "arguments": "{\"expression\":\"6*7\"}" } });
    match after {
        Some(result) => {
            event(json!({ "content": format!("It is {}.", result["content"].as_str().unwrap()) }), Some("stop")) + usage
        }
        None => event(json!({ "tool_calls": [call] }), Some("tool_calls")) + usage,
    }
}

fn serve(io: &mut Io) -> (String, Seen) {
    let seen = Seen::default();
    let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&seen));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    io.handle().unwrap().spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, app).await.unwrap();
    });
    (url, seen)
}

#[test]
fn the_keys_of_a_remote_policy_shape_its_requests() {
    let (home, mut io) = (Home::new(), Io::start().unwrap());
    let (url, seen) = serve(&mut io);
    let policy = format!(
        "[policies.first]\nkind = \"remote\"\nmodel = \"m\"\nurl = \"{url}\"\nkey_env = \"PATH\"\n\
         logprobs = true\nstream = true\nnative_tools = true\n\n"
    );
    home.write("team.toml", &(TEAM.replacen("sampling", "tools = [\"calculator\"]\nsampling", 1) + &policy));
    home.write("run.toml", &format!("{RUN}\n[[tools]]\nkind = \"calculator\"\n"));
    let mut trainer = home.trainer(&[("train.steps", "1")]);
    let report = trainer.step().unwrap().unwrap();
    for record in &report.records {
        assert!(record.is_sound() && record.faults.is_empty(), "{:?}", record.faults);
        assert_eq!(record.turns[0].text, "It is 42.");
    }
    let secret = format!("Bearer {}", std::env::var("PATH").unwrap());
    for (body, key) in seen.lock().unwrap().iter() {
        assert_eq!((&body["stream"], &body["logprobs"]), (&json!(true), &json!(true)));
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["tools"][0]["function"]["name"], "calculator");
        assert!(!body["messages"][0]["content"].as_str().unwrap().contains("<tool"), "declared, not described: {body}");
        assert_eq!(*key, secret);
    }
    assert_eq!(seen.lock().unwrap().len(), 2 * report.records.len());
}
