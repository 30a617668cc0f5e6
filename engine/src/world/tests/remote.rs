//! Agents whose words a server gives, recorded answers on a socket of this machine.

use std::sync::atomic::AtomicUsize;

use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use marft_agents::policy::remote::{Client, RemoteConfig};
use serde_json::Value;

use super::*;
use crate::io::Io;
use crate::voice::Remote;

const ONE: &str = "[team]\nname = \"one\"\n[agents.a]\nrole = \"A\"\npolicy = \"p\"\n";

/// Counts calls; dies after some of them.
#[derive(Clone)]
struct Server {
    calls: Arc<AtomicUsize>,
    dies_after: usize,
}

async fn answer(State(server): State<Server>, Json(body): Json<Value>) -> Response {
    if server.calls.fetch_add(1, Ordering::SeqCst) >= server.dies_after {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let asked = body["messages"].as_array().and_then(|lines| lines.last()).cloned().unwrap_or_default();
    let text = if asked["content"] == "q" { "yes" } else { "no" };
    let content = [json!({ "token": text, "logprob": -0.25 })];
    let choice = json!({ "message": { "content": text }, "finish_reason": "stop", "logprobs": { "content": content } });
    Json(json!({ "choices": [choice], "usage": { "completion_tokens": 1 } })).into_response()
}

fn serve(io: &mut Io, dies_after: usize) -> (Remote, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let app = axum::Router::new()
        .route("/v1/chat/completions", post(answer))
        .with_state(Server { calls: Arc::clone(&calls), dies_after });
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let beside = io.handle().unwrap();
    beside.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, app).await.unwrap();
    });
    let mut config = RemoteConfig::new(format!("http://{address}/v1"), "m");
    (config.retries, config.back_off) = (1, Duration::from_millis(1));
    (Remote::new(Client::new(config).unwrap(), beside).with_logprobs(), calls)
}

#[test]
fn a_thousand_questions_are_out_at_once() {
    let mut io = Io::start().unwrap();
    let (voice, calls) = serve(&mut io, usize::MAX);
    // a small queue of answers: the server has to wait for the world, and nothing is lost
    let config = EngineConfig { queue: 16, ..world(ONE, voice) };
    let records = play(config, (0..1000).map(|number| asked(number, "q")));
    assert_eq!((records.len(), calls.load(Ordering::SeqCst)), (1000, 1000));
    for record in &records {
        assert_eq!(record.reward.as_ref().unwrap().total, 1.0);
        assert!(record.segments.is_empty(), "a server names no token ids: nothing to train");
        assert_eq!(record.turns[0].tokens, 1, "as the server counts");
    }
}

#[test]
fn a_server_that_dies_costs_the_episodes_it_owes() {
    let mut io = Io::start().unwrap();
    let (voice, _) = serve(&mut io, 10);
    let records = play(world(ONE, voice), (0..30).map(|number| asked(number, "q")));
    let sound = records.iter().filter(|record| record.is_sound()).count();
    assert_eq!((records.len(), sound), (30, 10));
    let lost = records.iter().find(|record| !record.is_sound()).unwrap();
    assert_eq!((&*lost.end, lost.faults[0].kind.as_str()), ("fault", "policy"));
    assert!(lost.faults[0].message.contains("500"), "{}", lost.faults[0].message);
    drop(io);
    let (voice, _) = {
        let mut gone = Io::start().unwrap();
        serve(&mut gone, usize::MAX)
    };
    // the runtime is gone with its server: the turn is given up in the end
    let config = EngineConfig { patience: Some(Duration::from_millis(50)), ..world(ONE, voice) };
    let record = play(config, [asked(1, "q")]).remove(0);
    assert_eq!(record.faults.len(), 1);
}

/// What a server was sent, call after call, and what it answers to each; the last again and again.
struct Recorder {
    seen: std::sync::Mutex<Vec<Value>>,
    answers: Vec<String>,
}

async fn recorded(State(recorder): State<Arc<Recorder>>, Json(body): Json<Value>) -> Response {
    let mut seen = recorder.seen.lock().unwrap();
    let answer = recorder.answers[seen.len().min(recorder.answers.len() - 1)].clone();
    seen.push(body);
    answer.into_response()
}

fn record(io: &mut Io, answers: &[String]) -> (Client, tokio::runtime::Handle, Arc<Recorder>) {
    let recorder = Arc::new(Recorder { seen: std::sync::Mutex::default(), answers: answers.to_vec() });
    let app = axum::Router::new().fallback(recorded).with_state(Arc::clone(&recorder));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let beside = io.handle().unwrap();
    beside.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, app).await.unwrap();
    });
    let mut config = RemoteConfig::new(format!("http://{address}/v1"), "m");
    (config.retries, config.back_off) = (1, Duration::from_millis(1));
    (Client::new(config).unwrap(), beside, recorder)
}

fn event(delta: Value, finish: Option<&str>) -> String {
    format!("data: {}\n\n", json!({ "choices": [{ "delta": delta, "finish_reason": finish }] }))
}

/// The server says nothing about its tools in text: it is told of them, calls one in pieces, and is shown the call and its
/// result as the protocol has them.
#[test]
fn a_server_is_told_of_tools_and_calls_them_in_a_stream() {
    const CALLS: &str = r#"
        [team]
        name = "calls"
        [agents.a]
        role = "A"
        policy = "p"
        tools = ["sums"]
        constrain = { json_schema = { type = "object" } }
        [policies.p]
        kind = "remote"
        url = "http://127.0.0.1:1/v1"
        model = "m"
        native_tools = true
    "#;
    let call = |part: Value| event(json!({ "tool_calls": [part] }), None);
    let calling = [
        event(json!({ "content": "Let me see." }), None),
        call(json!({ "index": 0, "id": "x", "function": { "name": "sums", "arguments": "" } })),
        call(json!({ "index": 0, "function": { "arguments": "{\"expression\":" } })),
        call(json!({ "index": 0, "function": { "arguments": "\"6 * 7\"}" } })),
        event(json!({}), Some("tool_calls")),
    ];
    let saying = [event(json!({ "content": "yes" }), Some("stop"))];
    let mut io = Io::start().unwrap();
    let (client, beside, recorder) = record(&mut io, &[calling.concat(), saying.concat()]);
    let mut tools = crate::tool::Tools::default();
    tools.register("sums", crate::tool::ToolLimits::default(), Arc::new(crate::tool::Calculator {}));
    let config = EngineConfig { tools, ..world(CALLS, Remote::new(client, beside).streaming()) };
    let record = play(config, [asked(1, "q")]).remove(0);
    assert!(record.is_sound(), "{:?}", record.faults);
    assert_eq!(record.turns[0].text, "yes", "it went on after the result");
    let seen = recorder.seen.lock().unwrap();
    let declared = &seen[0]["tools"][0];
    assert_eq!((&declared["type"], &declared["function"]["name"]), (&json!("function"), &json!("sums")));
    assert_eq!(declared["function"]["parameters"]["required"], json!(["expression"]));
    assert_eq!((&seen[0]["stream"], &seen[0]["messages"][0]["content"]), (&json!(true), &json!("A")));
    assert_eq!(seen[0]["response_format"]["json_schema"]["schema"], json!({ "type": "object" }));
    let lines = seen[1]["messages"].as_array().unwrap();
    let [.., called, result] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&called["content"], &called["tool_calls"][0]["id"]), (&json!("Let me see."), &result["tool_call_id"]));
    assert_eq!((&result["role"], &result["content"]), (&json!("tool"), &json!("42")));
}

/// Where the policy does not say otherwise, tools are described in the role, under the names that the run gives them.
#[test]
fn a_server_that_is_told_of_no_tools_reads_of_them() {
    const TOLD: &str = "[team]\nname = \"told\"\n[agents.a]\nrole = \"A\"\npolicy = \"p\"\ntools = [\"sums\"]\n";
    let mut io = Io::start().unwrap();
    let answer = json!({ "choices": [{ "message": { "content": "yes" }, "finish_reason": "stop" }] });
    let (client, beside, recorder) = record(&mut io, &[answer.to_string()]);
    let mut tools = crate::tool::Tools::default();
    tools.register("sums", crate::tool::ToolLimits::default(), Arc::new(crate::tool::Calculator {}));
    play(EngineConfig { tools, ..world(TOLD, Remote::new(client, beside)) }, [asked(1, "q")]);
    let seen = recorder.seen.lock().unwrap();
    assert!(seen[0].get("tools").is_none() && seen[0]["stream"] == false);
    let role = seen[0]["messages"][0]["content"].as_str().unwrap();
    assert!(role.contains("\"name\":\"sums\"") && !role.contains("calculator"), "{role}");
}
