//! Adapters pushed to a server of this machine that keeps what it was asked.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Mutex;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;

use super::*;
use crate::checkpoint::Checkpoints;
use crate::io::Io;

/// What a server holds, and what it was asked.
#[derive(Debug, Default)]
struct Holder {
    held: std::collections::BTreeSet<String>,
    asked: Vec<String>,
    keys: Vec<String>,
    /// Whether it refuses to drop what it holds.
    clings: bool,
}

/// Loads and drops names as vLLM does: a name twice is refused, and so is one that is not there.
async fn answer(
    State(holder): State<Arc<Mutex<Holder>>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, &'static str) {
    let body: Value = serde_json::from_str(&body).unwrap();
    let name = body["lora_name"].as_str().unwrap().to_owned();
    let mut holder = holder.lock().unwrap();
    let loads = uri.path() == "/v1/load_lora_adapter";
    let verb = if loads { "load" } else { "unload" };
    holder.asked.push(format!("{verb} {name}"));
    holder.keys.push(headers.get("authorization").map(|key| key.to_str().unwrap().to_owned()).unwrap_or_default());
    if !loads && holder.clings {
        return (StatusCode::FORBIDDEN, "not yours");
    }
    if loads {
        let weights = Path::new(body["lora_path"].as_str().unwrap()).join("adapter_model.safetensors");
        if !weights.is_file() {
            return (StatusCode::NOT_FOUND, "no adapter there");
        }
    }
    let done = if loads { holder.held.insert(name) } else { holder.held.remove(&name) };
    if done { (StatusCode::OK, "Success") } else { (StatusCode::BAD_REQUEST, "already, or not at all") }
}

fn serve(io: &mut Io) -> (SocketAddr, Arc<Mutex<Holder>>) {
    let holder = Arc::new(Mutex::new(Holder::default()));
    let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&holder));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    io.handle().unwrap().spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        axum::serve(listener, app).await.unwrap();
    });
    (address, holder)
}

impl Home {
    /// A run of `steps` steps that serves `first`, and what came of its pushes.
    fn served(&self, address: SocketAddr, set: &[(&str, &str)], resume: bool) -> Vec<Served> {
        let server =
            format!("{{ server = \"vllm\", url = \"http://{address}/v1\", key_env = \"PATH\", seconds = 20 }}");
        let server = [("serve.first", server.as_str()), ("eval.every", "0"), ("eval.before", "false")];
        let mut run = Run::open(self.trainer(&[&server, set].concat()), &self.path("out"), resume).unwrap();
        let mut news = vec![];
        let mut listen = |event: &Event<'_>| {
            if let Event::Served(served) = event {
                news.push((*served).clone());
            }
        };
        assert_eq!(run.drive(&mut listen, &Stop::default()).unwrap(), End::Complete);
        news
    }

    fn book(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("out/served.json")).unwrap()).unwrap()
    }
}

#[test]
fn every_checkpoint_is_served_and_takes_the_place_of_the_one_before() {
    let (home, mut io) = (Home::new(), Io::start().unwrap());
    let (address, holder) = serve(&mut io);
    // one checkpoint is kept: what is pushed must still be there while it is read
    let news = home.served(address, &[("train.steps", "2"), ("checkpoint.keep", "1")], false);
    let outcomes: Vec<_> = news.iter().map(|served| (served.step, served.outcome.clone())).collect();
    assert_eq!(outcomes, [(1, Ok("first-v1".to_owned())), (2, Ok("first-v2".to_owned()))]);
    assert!(news.iter().all(|served| served.policy == "first" && served.kept.is_empty()), "{news:?}");
    assert_eq!(holder.lock().unwrap().asked, ["load first-v1", "load first-v2", "unload first-v1"]);
    assert_eq!(home.book()["first"]["names"], serde_json::json!(["first-v2"]));

    // the key is the server's alone
    let secret = std::env::var("PATH").unwrap();
    assert!(holder.lock().unwrap().keys.iter().all(|key| *key == format!("Bearer {secret}")));
    for name in ["run.json", "served.json", "metrics.jsonl"] {
        let text = std::fs::read_to_string(home.path("out").join(name)).unwrap();
        assert!(!text.contains(&secret), "{name}");
    }
    assert!(!format!("{news:?}").contains(&secret));

    // a run that goes on knows what the server holds
    home.served(address, &[("train.steps", "3")], true);
    assert_eq!(holder.lock().unwrap().asked[3..], ["load first-v3", "unload first-v2"]);
    assert_eq!(holder.lock().unwrap().held.iter().collect::<Vec<_>>(), ["first-v3"]);
}

#[test]
fn a_version_that_is_learnt_again_takes_the_place_of_the_first() {
    let (home, mut io) = (Home::new(), Io::start().unwrap());
    let (address, holder) = serve(&mut io);
    home.served(address, &[("train.steps", "2")], false);
    std::fs::write(home.path("out/checkpoints/2/state.json"), "damaged").unwrap();
    let news = home.served(address, &[("train.steps", "2")], true);
    assert_eq!(news[0].outcome, Ok("first-v2".to_owned()));
    assert_eq!(holder.lock().unwrap().asked[3..], ["unload first-v2", "load first-v2"]);
}

#[test]
fn what_a_server_does_not_drop_is_told_and_asked_for_again() {
    let (home, mut io) = (Home::new(), Io::start().unwrap());
    let (address, holder) = serve(&mut io);
    holder.lock().unwrap().clings = true;
    let news = home.served(address, &[("train.steps", "2")], false);
    assert_eq!(news[1].outcome, Ok("first-v2".to_owned()));
    let [(name, reason)] = news[1].kept.as_slice() else { panic!("{news:?}") };
    assert!(name == "first-v1" && reason.contains("not yours"), "{news:?}");
    assert_eq!(home.book()["first"]["names"], serde_json::json!(["first-v1", "first-v2"]));
    holder.lock().unwrap().clings = false;
    home.served(address, &[("train.steps", "3")], true);
    assert_eq!(holder.lock().unwrap().held.iter().collect::<Vec<_>>(), ["first-v3"]);
}

#[test]
fn a_run_does_not_need_the_server_it_pushes_to() {
    let home = Home::new();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let limit = ("serve.first.seconds", "0.3");
    let news = home.served(nobody, &[("train.steps", "2"), limit], false);
    let [one, two] = news.as_slice() else { panic!("{news:?}") };
    assert_eq!((one.step, two.step), (1, 2));
    for served in &news {
        let reason = served.outcome.as_ref().unwrap_err();
        assert!(served.url.contains(&nobody.to_string()) && !reason.is_empty(), "{served:?}");
    }
    let checkpoints = Checkpoints::open(home.path("out/checkpoints")).unwrap();
    assert_eq!(checkpoints.latest().unwrap().unwrap().step, 2, "whole, served or not");

    // one that takes the call and never answers costs no more than its limit
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = std::time::Instant::now();
    let news = home.served(mute.local_addr().unwrap(), &[("train.steps", "3"), limit], true);
    assert!(news[0].outcome.as_ref().unwrap_err().contains("0.3 s"), "{news:?}");
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    assert_eq!(home.book()["first"]["names"], serde_json::json!(["first-v3"]), "it may hold it, for all that is known");
}

#[test]
fn a_key_that_is_not_there_is_told_before_anything_begins() {
    let home = Home::new();
    let server = "{ server = \"sglang\", url = \"http://127.0.0.1:1/v1\", key_env = \"MARFT_NO_SUCH_KEY\" }";
    let refusal = Run::open(home.trainer(&[("serve.first", server)]), &home.path("out"), false).unwrap_err();
    assert!(refusal.to_string().contains("MARFT_NO_SUCH_KEY"), "{refusal}");
    assert!(!home.path("out/run.json").exists());
}
