//! The client against a server on this machine that answers from a record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::adapters::{Pushed, Server, push, served_name};
use super::*;
use crate::generate::Sampling;

/// What the server answers, call after call; the last one again and again.
type Script = Vec<fn() -> Response>;

struct Recorded {
    script: Script,
    calls: AtomicUsize,
    seen: Mutex<Vec<(String, HeaderMap, Value)>>,
}

async fn answer(State(server): State<Arc<Recorded>>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let call = server.calls.fetch_add(1, Ordering::SeqCst);
    let body = serde_json::from_str(&body).unwrap_or(Value::Null);
    server.seen.lock().await.push((uri.path().to_owned(), headers, body));
    server.script[call.min(server.script.len() - 1)]()
}

async fn serve(script: Script) -> (SocketAddr, Arc<Recorded>) {
    let server = Arc::new(Recorded { script, calls: AtomicUsize::new(0), seen: Mutex::default() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, server)
}

fn client(address: SocketAddr) -> Client {
    let mut config = RemoteConfig::new(format!("http://{address}/v1"), "m");
    config.back_off = Duration::from_millis(1);
    config.key = Some(ApiKey::new("sk-very-secret"));
    Client::new(config).unwrap()
}

fn chat() -> RemoteRequest {
    let messages = vec![json!({"role": "user", "content": "capital of Albania?"})];
    RemoteRequest { logprobs: true, ..RemoteRequest::chat(messages, Sampling::default()) }
}

fn whole() -> Response {
    let body = json!({
        "choices": [{
            "message": {"role": "assistant", "content": "Tirana"},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "Tir", "logprob": -0.5}, {"token": "ana", "logprob": -0.25}]},
        }],
        "usage": {"completion_tokens": 2},
    });
    axum::Json(body).into_response()
}

fn busy() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "0")], "slow down").into_response()
}

fn stream() -> Response {
    let events = concat!(
        ": a comment\n\n",
        "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Tirän\"},\"logprobs\":{\"content\":[{\"token\":\"Tirän\",\"logprob\":-1.0}]}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"ë\"},\"logprobs\":{\"content\":[{\"token\":\"ë\",\"logprob\":-2.0}]},\"finish_reason\":\"stop\"}]}\r\n\r\n",
        "data: {\"choices\":[],\"usage\":{\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    );
    Body::from(events).into_response()
}

#[tokio::test]
async fn an_answer_with_logprobs() {
    let (address, server) = serve(vec![whole]).await;
    let answer = client(address).ask(&chat()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.finish.as_deref()), ("Tirana", Some("stop")));
    assert_eq!(answer.tokens[1], RemoteToken { text: "ana".to_owned(), logprob: -0.25 });
    assert_eq!(answer.completion_tokens, Some(2));
    let seen = server.seen.lock().await;
    assert_eq!(seen[0].0, "/v1/chat/completions");
    assert_eq!(seen[0].1["authorization"], "Bearer sk-very-secret");
    assert_eq!(seen[0].2["logprobs"], true);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_a_refusal_is_not() {
    let (address, server) = serve(vec![busy, busy, whole]).await;
    assert_eq!(client(address).ask(&chat()).await.unwrap().text, "Tirana");
    assert_eq!(server.calls.load(Ordering::SeqCst), 3);

    let (address, server) = serve(vec![|| (StatusCode::UNAUTHORIZED, "who are you?").into_response()]).await;
    let error = client(address).ask(&chat()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered 401: who are you?");
    assert_eq!(server.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn retries_end_and_so_does_patience() {
    let (address, server) = serve(vec![busy]).await;
    assert!(matches!(client(address).ask(&chat()).await, Err(RemoteError::Status { status: 429, .. })));
    assert_eq!(server.calls.load(Ordering::SeqCst), 5);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = RemoteConfig::new(format!("http://{}", listener.local_addr().unwrap()), "m");
    config.deadline = Duration::from_millis(50);
    let error = Client::new(config).unwrap().ask(&chat()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Deadline { attempts: 1, .. }), "{error}");
}

#[tokio::test]
async fn nobody_there() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client(address).ask(&chat()).await.unwrap_err();
    assert!(matches!(&error, RemoteError::Connect { .. }), "{error}");
    assert!(!format!("{error:?} {error}").contains("secret"));
}

#[tokio::test]
async fn missing_logprobs_are_an_error() {
    let bare = || axum::Json(json!({"choices": [{"message": {"content": "Tirana"}}]})).into_response();
    let (address, _) = serve(vec![bare]).await;
    assert_eq!(client(address).ask(&chat()).await, Err(RemoteError::NoLogprobs));
    assert_eq!(client(address).ask(&RemoteRequest { logprobs: false, ..chat() }).await.unwrap().text, "Tirana");
}

#[tokio::test]
async fn a_stream_is_handed_on_and_put_together() {
    let (address, _) = serve(vec![busy, stream]).await;
    let mut said = vec![];
    let answer = client(address).stream(&chat(), |text| said.push(text.to_owned())).await.unwrap();
    assert_eq!((said, answer.text.as_str()), (vec!["Tirän".to_owned(), "ë".to_owned()], "Tiränë"));
    assert_eq!((answer.tokens.len(), answer.completion_tokens), (2, Some(2)));
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_answer() {
    let torn = || Body::from("data: {\"choices\":[{\"delta\":{\"content\":\"Ti\"}}]}\n\n").into_response();
    let (address, _) = serve(vec![torn]).await;
    assert!(matches!(client(address).stream(&chat(), |_| ()).await, Err(RemoteError::BrokenOff(_))));
    let failing = || Body::from("data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n").into_response();
    let (address, _) = serve(vec![failing]).await;
    let error = client(address).stream(&chat(), |_| ()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered 500: out of memory");
}

#[tokio::test]
async fn adapters_are_loaded_before_the_old_ones_go() {
    let loaded = || (StatusCode::OK, "Success: LoRA adapter added").into_response();
    let unknown = || StatusCode::NOT_FOUND.into_response();
    let (address, server) = serve(vec![loaded, unknown]).await;
    let folder = std::path::Path::new("/adapters/actor");
    let before = [served_name("actor", 2)];
    let pushed = push(&client(address), Server::Vllm, "actor", 3, folder, &before).await.unwrap();
    assert_eq!(pushed, Pushed { name: served_name("actor", 3), kept: vec![] });
    {
        let seen = server.seen.lock().await;
        assert_eq!(
            (seen[0].0.as_str(), &seen[0].2),
            ("/v1/load_lora_adapter", &json!({"lora_name": "actor-v3", "lora_path": "/adapters/actor"}))
        );
        assert_eq!((seen[1].0.as_str(), &seen[1].2), ("/v1/unload_lora_adapter", &json!({"lora_name": "actor-v2"})));
    }
    let refused = || axum::Json(json!({"success": false, "error_message": "rank 64 is too high"})).into_response();
    let (address, server) = serve(vec![refused]).await;
    let error = push(&client(address), Server::Sglang, "actor", 3, folder, &before).await.unwrap_err();
    assert!(error.to_string().contains("rank 64"));
    assert_eq!(server.seen.lock().await[0].0, "/load_lora_adapter");
    assert_eq!(server.calls.load(Ordering::SeqCst), 1, "the version before stays");
}

#[tokio::test]
async fn a_push_drops_what_its_caller_had_pushed_before() {
    let loaded = || (StatusCode::OK, "Success").into_response();
    let folder = std::path::Path::new("/adapters/actor");
    // every tenth version is pushed
    let (address, server) = serve(vec![loaded]).await;
    push(&client(address), Server::Vllm, "actor", 30, folder, &["actor-v20".to_owned()]).await.unwrap();
    assert_eq!(server.seen.lock().await[1].2, json!({"lora_name": "actor-v20"}));
    push(&client(address), Server::Vllm, "actor", 0, folder, &[]).await.unwrap();
    assert_eq!(server.calls.load(Ordering::SeqCst), 3, "nothing is before the first");

    // what cannot be dropped is told beside the name
    let (address, _) = serve(vec![loaded, || StatusCode::FORBIDDEN.into_response()]).await;
    let pushed = push(&client(address), Server::Vllm, "actor", 30, folder, &["actor-v20".to_owned()]).await.unwrap();
    assert_eq!(pushed.name, "actor-v30");
    let [(kept, RemoteError::Status { status: 403, .. })] = pushed.kept.as_slice() else { panic!("{pushed:?}") };
    assert_eq!(kept, "actor-v20");

    // a version that is learnt once more after its checkpoint was lost takes the place of the first
    let (address, server) = serve(vec![loaded]).await;
    let before = ["actor-v30".to_owned(), "actor-v20".to_owned()];
    push(&client(address), Server::Vllm, "actor", 30, folder, &before).await.unwrap();
    let seen: Vec<_> =
        server.seen.lock().await.iter().map(|call| (call.0.clone(), call.2["lora_name"].clone())).collect();
    let [unload, load] = ["/v1/unload_lora_adapter", "/v1/load_lora_adapter"].map(str::to_owned);
    assert_eq!(seen, [(unload.clone(), json!("actor-v30")), (load, json!("actor-v30")), (unload, json!("actor-v20"))]);
}

#[tokio::test]
async fn a_push_is_tried_again_and_has_a_deadline() {
    let folder = std::path::Path::new("/adapters/actor");
    let there = || (StatusCode::BAD_REQUEST, "The lora adapter 'actor-v3' has already been loaded.").into_response();
    let lost = || StatusCode::BAD_GATEWAY.into_response();
    let (address, server) = serve(vec![lost, there]).await;
    push(&client(address), Server::Vllm, "actor", 3, folder, &[]).await.unwrap();
    assert_eq!(server.calls.load(Ordering::SeqCst), 2);
    let (address, _) = serve(vec![there]).await;
    let error = push(&client(address), Server::Vllm, "actor", 3, folder, &[]).await.unwrap_err();
    assert!(matches!(error, RemoteError::Status { status: 400, .. }), "somebody else's: {error}");

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = RemoteConfig::new(format!("http://{}", listener.local_addr().unwrap()), "m");
    config.deadline = Duration::from_millis(50);
    let error = push(&Client::new(config).unwrap(), Server::Vllm, "actor", 3, folder, &[]).await.unwrap_err();
    assert!(matches!(error, RemoteError::Deadline { attempts: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_before_anything_was_said_is_asked_for_again() {
    let torn = || Body::from("data: {\"choices\":[{\"delta\":{\"content\":\"\"}}]}\n\n").into_response();
    let (address, server) = serve(vec![torn, busy, stream]).await;
    assert_eq!(client(address).stream(&chat(), |_| ()).await.unwrap().text, "Tiränë");
    assert_eq!(server.calls.load(Ordering::SeqCst), 3);
    let half = || Body::from("data: {\"choices\":[{\"delta\":{\"content\":\"Ti\"}}]}\n\n").into_response();
    let (address, server) = serve(vec![half, stream]).await;
    assert!(matches!(client(address).stream(&chat(), |_| ()).await, Err(RemoteError::BrokenOff(_))));
    assert_eq!(server.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_that_nobody_listens_to_is_asked_for_again_wherever_it_broke_off() {
    let half = || Body::from("data: {\"choices\":[{\"delta\":{\"content\":\"Ti\"}}]}\n\n").into_response();
    let (address, server) = serve(vec![half, busy, stream]).await;
    let answer = client(address).ask_streaming(&chat()).await.unwrap();
    assert_eq!((answer.text.as_str(), answer.tokens.len(), answer.completion_tokens), ("Tiränë", 2, Some(2)));
    assert_eq!(server.calls.load(Ordering::SeqCst), 3);
    let seen = server.seen.lock().await;
    assert_eq!((&seen[2].2["stream"], &seen[2].2["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
}

#[tokio::test]
async fn the_deadline_of_a_stream_says_how_often_it_was_tried() {
    let slow = || {
        let never = futures_util::stream::pending::<Result<String, std::io::Error>>();
        Body::from_stream(never).into_response()
    };
    let (address, _) = serve(vec![busy, slow]).await;
    let mut config = RemoteConfig::new(format!("http://{address}/v1"), "m");
    (config.deadline, config.back_off) = (Duration::from_millis(300), Duration::from_millis(1));
    let error = Client::new(config).unwrap().stream(&chat(), |_| ()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Deadline { attempts: 2, .. }), "{error}");
}

#[test]
fn keys_are_never_shown_and_settings_are_checked() {
    let mut config = RemoteConfig::new("http://127.0.0.1:1/v1", "m");
    config.key = Some(ApiKey::new("sk-very-secret"));
    assert!(!format!("{config:?}").contains("secret"));
    assert!(!format!("{:?}", Client::new(config.clone()).unwrap()).contains("secret"));
    config.base_url = "http://me:sk-very-secret@127.0.0.1:1/v1".to_owned();
    let error = Client::new(config.clone()).unwrap_err();
    assert!(matches!(&error, RemoteError::Config(_)) && !error.to_string().contains("secret"), "{error}");
    config.base_url = "localhost".to_owned();
    assert!(matches!(Client::new(config.clone()), Err(RemoteError::Config(_))));
    config.base_url = "http://127.0.0.1:1".to_owned();
    config.calls_per_minute = Some(0);
    assert!(matches!(Client::new(config), Err(RemoteError::Config(_))));
}

#[test]
fn completion_logprobs_and_tool_calls_in_pieces() {
    let body = json!({"choices": [{"text": "ab", "finish_reason": "length",
        "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-1.0, -2.0]}}]});
    let answer = RemoteAnswer::read(&body).unwrap();
    assert_eq!((answer.text.as_str(), answer.tokens[1].logprob), ("ab", -2.0));

    let piece = |call: Value| format!("data: {}\n", json!({"choices": [{"delta": {"tool_calls": [call]}}]}));
    let mut reader = StreamReader::default();
    for call in [
        json!({"index": 0, "id": "c1", "function": {"name": "search", "arguments": ""}}),
        json!({"index": 0, "function": {"arguments": "{\"q\":"}}),
        json!({"index": 0, "function": {"arguments": "\"lek\"}"}}),
        json!({"index": 1, "id": "c2", "function": {"name": "stop", "arguments": "{}"}}),
    ] {
        reader.push(piece(call).as_bytes()).unwrap();
    }
    assert!(reader.push(piece(json!({"index": 9})).as_bytes()).is_err());
    reader.push(b"data: [DONE]\n").unwrap();
    let answer = reader.finish().unwrap();
    assert_eq!(answer.tool_calls[0].arguments, "{\"q\":\"lek\"}");
    assert_eq!(answer.tool_calls[1].name, "stop");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn where_a_stream_is_cut_changes_nothing(cuts in prop::collection::vec(0_usize..700, 0..12)) {
        let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"Tirän\"}}]}\n\ndata: {\"choices\":[{\"delta\":\
            {\"content\":\"ë 😀\"},\"finish_reason\":\"stop\"}]}\r\n\ndata: [DONE]\n".as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % stream.len()).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let mut reader = StreamReader::default();
        let mut said = String::new();
        for part in cuts.windows(2) {
            for piece in reader.push(&stream[part[0]..part[1]]).unwrap() {
                if let Piece::Text(text) = piece {
                    said.push_str(&text);
                }
            }
        }
        prop_assert_eq!(&said, "Tiränë 😀");
        prop_assert_eq!(reader.finish().unwrap().text, said);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut reader = StreamReader::default();
        if reader.push(&bytes).is_ok() {
            drop(reader.finish());
        }
    }
}
