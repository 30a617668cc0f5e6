//! The client against a real server: `transformers serve` with a tiny random model.
//!
//! Needs Python with torch, transformers, fastapi and uvicorn: the interpreter that `MARFT_TEST_PYTHON` names, else `python3`.
//! Where a package is missing the test says so and checks nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::generate::Sampling;
use crate::model::{CausalAttend, Placement, Rows};
use crate::pretrained::{Location, Store};
use crate::text::Conversation;

/// The status by which the script says that it cannot run here.
const CANNOT: i32 = 77;

struct Server {
    process: Child,
    address: String,
    model: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// A server that answers, or why there is none.
    async fn start(folder: &Path) -> Result<Self, String> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/tiny_server.py");
        let python = std::env::var_os("MARFT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let said = fs_err::File::create(folder.join("said")).unwrap();
        let model = folder.join("model");
        let mut process = Command::new(&python)
            .arg(script)
            .arg(&model)
            .arg(port.to_string())
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap().into_parts().0)
            .stderr(said.into_parts().0)
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", python.display()))?;
        let address = format!("127.0.0.1:{port}");
        for _ in 0..1200 {
            if let Some(status) = process.try_wait().unwrap() {
                let said = fs_err::read_to_string(folder.join("said")).unwrap();
                assert_eq!(status.code(), Some(CANNOT), "{said}");
                return Err(said);
            }
            if tokio::net::TcpStream::connect(&address).await.is_ok() {
                return Ok(Self { process, address, model });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let _ = process.kill();
        panic!("the server does not answer: {}", fs_err::read_to_string(folder.join("said")).unwrap());
    }
}

#[tokio::test]
async fn a_real_server_answers_as_the_same_model_does_here() {
    let folder = tempfile::tempdir().unwrap();
    let server = match Server::start(folder.path()).await {
        Ok(server) => server,
        Err(reason) => return eprintln!("skipped: no server can be started here: {}", reason.trim()),
    };
    let name = server.model.display().to_string();
    let client = Client::new(RemoteConfig::new(format!("http://{}/v1", server.address), &name)).unwrap();
    let messages = vec![json!({"role": "user", "content": "capital of Albania?"})];
    let greedy = Sampling { temperature: 0.0, max_tokens: 12, ..Sampling::default() };
    let request = RemoteRequest::chat(messages.clone(), greedy.clone());
    let whole = client.ask(&request).await.unwrap();
    assert_eq!((whole.completion_tokens, whole.finish.as_deref()), (Some(12), Some("length")));

    let location = Location::resolve(&name, &Store::at(Path::new("/nonexistent"))).unwrap();
    let text = location.text().unwrap();
    let decoder = location.decoder(Placement::EXACT).unwrap();
    let conversation = Conversation { messages: &messages, generation_prompt: true, ..Conversation::default() };
    let mut ids = text.encode_conversation(conversation).unwrap();
    let prompt = ids.len();
    for _ in 0..12 {
        let rows: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let (rows, positions) =
            (Tensor::from_slice(&rows), Tensor::arange(rows.len() as i64, (Kind::Int64, Device::Cpu)));
        let rows = Rows { ids: &rows, positions: &positions };
        let hidden = decoder.hidden(rows, &mut CausalAttend, None).unwrap();
        ids.push(decoder.logits(&hidden.get(-1).unsqueeze(0), None).argmax(-1, false).int64_value(&[0]) as u32);
    }
    assert_eq!(whole.text, text.decode(&ids[prompt..]));

    let mut said = String::new();
    let streamed = client.stream(&request, |piece| said.push_str(piece)).await.unwrap();
    assert_eq!((&streamed.text, &said), (&whole.text, &whole.text));

    let endpoint = Endpoint::Completion("Tirana".to_owned());
    let completed = client.ask(&RemoteRequest { endpoint, ..request.clone() }).await.unwrap();
    assert!(completed.completion_tokens == Some(12) && !completed.text.is_empty(), "{completed:?}");

    // This server gives no log-probabilities, and a client that was promised some says so.
    let wanting = client.ask(&RemoteRequest { logprobs: true, ..request.clone() }).await;
    assert_eq!(wanting, Err(RemoteError::NoLogprobs));

    let refused = client.ask(&RemoteRequest { model: Some("no/such-model".to_owned()), ..request }).await.unwrap_err();
    assert!(matches!(refused, RemoteError::Status { .. }), "{refused}");
}
