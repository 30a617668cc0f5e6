//! Pulls from a server on this machine that speaks the hub's two endpoints.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Hub, HubError, Location, PretrainedError, Store};
use crate::model::Placement;

const NAME: &str = "an-org/tiny.model";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the server has and what it was asked.
struct Served {
    /// Name, content, announced hash.
    files: Vec<(String, Vec<u8>, Option<String>)>,
    token: Option<&'static str>,
    asked: Mutex<Vec<String>>,
}

impl Served {
    /// The tiny model of the fixtures, and files that nobody wants.
    fn new() -> Self {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hf_folder");
        let mut files: Vec<_> = fs_err::read_dir(folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let content = fs_err::read(&path).unwrap();
                let hash = name.ends_with(".safetensors").then(|| format!("{:x}", Sha256::digest(&content)));
                (name, content, hash)
            })
            .collect();
        for unwanted in ["README.md", "onnx/model.onnx", "../../escaped.json", ".hidden.json", "pytorch_model.bin"] {
            files.push((unwanted.to_owned(), b"unwanted".to_vec(), None));
        }
        Self { files, token: None, asked: Mutex::default() }
    }

    fn admits(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        self.token.is_none_or(|token| sent == Some(format!("Bearer {token}")))
    }
}

async fn list(
    State(served): State<Arc<Served>>,
    headers: HeaderMap,
    Path((org, name)): Path<(String, String)>,
) -> Response {
    if !served.admits(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if format!("{org}/{name}") != NAME {
        return StatusCode::NOT_FOUND.into_response();
    }
    let sibling = |(name, content, hash): &(String, Vec<u8>, Option<String>)| {
        let mut file = json!({"rfilename": name, "size": content.len()});
        if let Some(hash) = hash {
            file["lfs"] = json!({"sha256": hash, "size": content.len()});
        }
        file
    };
    let siblings: Vec<Value> = served.files.iter().map(sibling).collect();
    axum::Json(json!({"id": NAME, "sha": COMMIT, "siblings": siblings})).into_response()
}

/// Large files are somewhere else, as on the hub.
async fn resolve(
    State(served): State<Arc<Served>>,
    headers: HeaderMap,
    Path((_, _, commit, file)): Path<(String, String, String, String)>,
) -> Response {
    assert_eq!(commit, COMMIT);
    if !served.admits(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    served.asked.lock().unwrap().push(file.clone());
    if file.ends_with(".safetensors") {
        return Redirect::temporary(&format!("/cdn/{file}")).into_response();
    }
    cdn(State(served), Path(file)).await
}

async fn cdn(State(served): State<Arc<Served>>, Path(file): Path<String>) -> Response {
    let found = served.files.iter().find(|(name, ..)| *name == file);
    found.map_or_else(|| StatusCode::NOT_FOUND.into_response(), |(_, content, _)| content.clone().into_response())
}

/// Serves for the rest of the test, on a thread of its own: pulling blocks.
fn serve(served: Served) -> (SocketAddr, Arc<Served>) {
    let served = Arc::new(served);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/api/models/{org}/{name}/revision/main", get(list))
        .route("/{org}/{name}/resolve/{commit}/{file}", get(resolve))
        .route("/cdn/{file}", get(cdn))
        .with_state(Arc::clone(&served));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), router).await.unwrap();
        });
    });
    (address, served)
}

fn pull(store: &Store, address: SocketAddr, token: Option<&str>) -> Result<std::path::PathBuf, PretrainedError> {
    store.pull_hub(NAME, &Hub::new(&format!("http://{address}/"), token.map(str::to_owned)), &mut |_| {})
}

#[test]
fn a_pulled_model_is_whole_and_opens_by_its_name() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let (address, served) = serve(Served::new());
    assert!(matches!(Location::resolve(NAME, &store), Err(PretrainedError::NotInstalled { .. })));
    let folder = pull(&store, address, None).unwrap();
    let asked = served.asked.lock().unwrap().clone();
    assert!(asked.iter().any(|file| file.ends_with(".safetensors")), "{asked:?}");
    assert!(asked.iter().all(|file| !["README.md", "model.onnx", "pytorch_model.bin"].contains(&file.as_str())));
    assert!(!root.path().parent().unwrap().join("escaped.json").exists() && !folder.join(".hidden.json").exists());

    let location = Location::resolve(NAME, &store).unwrap();
    assert_eq!(location, Location::Folder(folder.clone()));
    let decoder = location.decoder(Placement::EXACT).unwrap();
    assert_eq!(decoder.score(&[1, 2, 3], None).unwrap().len(), 2);
    assert_eq!(store.list().unwrap()[0].name, NAME);
    assert_eq!(pull(&store, address, None).unwrap(), folder);
    assert_eq!(served.asked.lock().unwrap().len(), asked.len(), "the second pull asks for nothing");
}

#[test]
fn a_damaged_file_is_named_and_whole_ones_are_kept_for_the_next_try() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let mut damaged = Served::new();
    let weights = damaged.files.iter_mut().find(|(name, ..)| name.ends_with(".safetensors")).unwrap();
    weights.2 = Some("00".repeat(32));
    let weights = weights.0.clone();
    let (address, first) = serve(damaged);
    let error = pull(&store, address, None).unwrap_err();
    assert!(
        matches!(&error, PretrainedError::Hub { source: HubError::Damaged { file, .. }, .. } if *file == weights),
        "{error:?}"
    );
    assert!(store.list().unwrap().is_empty());

    let (address, second) = serve(Served::new());
    pull(&store, address, None).unwrap();
    let first = first.asked.lock().unwrap().clone();
    let second = second.asked.lock().unwrap().clone();
    assert!(second.contains(&weights));
    assert!(first.iter().filter(|file| **file != weights).all(|file| !second.contains(file)), "{first:?} {second:?}");
}

#[test]
fn refusals_say_what_is_wanted_and_tokens_are_sent_and_never_shown() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let (address, _) = serve(Served { token: Some("hf_secret"), ..Served::new() });
    let status = |outcome: Result<_, _>| match outcome.unwrap_err() {
        PretrainedError::Hub { source: error @ HubError::Status { status, .. }, .. } => (status, error.to_string()),
        other => panic!("{other:?}"),
    };
    let (code, words) = status(pull(&store, address, None));
    assert!(code == 401 && words.contains("HF_TOKEN is not set"), "{words}");
    let (code, words) = status(pull(&store, address, Some("hf_wrong")));
    assert!(code == 401 && words.contains("does not give access") && !words.contains("hf_wrong"), "{words}");
    let hub = Hub::new(&format!("http://{address}"), Some("hf_secret".to_owned()));
    assert!(!format!("{hub:?}").contains("hf_secret"));
    let (code, words) = status(store.pull_hub("an-org/another", &hub, &mut |_| {}));
    assert!(code == 404 && words.contains("no such model"), "{words}");
    pull(&store, address, Some("hf_secret")).unwrap();
}

#[test]
fn a_repository_that_is_no_model_and_a_hub_that_is_not_there() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::at(root.path());
    let mut bare = Served::new();
    bare.files.retain(|(name, ..)| !name.ends_with(".safetensors"));
    let (address, _) = serve(bare);
    let error = pull(&store, address, None).unwrap_err();
    assert!(matches!(error, PretrainedError::Hub { source: HubError::NoModel, .. }), "{error:?}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = pull(&store, nobody, None).unwrap_err();
    assert!(matches!(error, PretrainedError::Hub { source: HubError::Unreachable { .. }, .. }), "{error:?}");
    for name in ["org/../x", "org", "org/a/b", "/name", "org/.git", "a--b/c"] {
        let error = store.pull_hub(name, &Hub::new("http://localhost", None), &mut |_| {}).unwrap_err();
        assert!(matches!(error, PretrainedError::Unknown { .. }), "{name}");
    }
}
