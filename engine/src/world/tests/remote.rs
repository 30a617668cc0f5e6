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
