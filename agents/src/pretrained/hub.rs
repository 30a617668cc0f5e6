//! Models of a hub that speaks the protocol of huggingface.co: a list of files at a revision, and the files.
//!
//! Two endpoints are all that a pull needs: `api/models/ORG/NAME` says which files there are and what hashes large ones have,
//! `ORG/NAME/resolve/COMMIT/FILE` leads to their bytes. The address and the token come from the variables that other
//! programs of the hub read.

use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::error::{HubError, PretrainedError};
use super::install::Staged;
use super::store::Store;

const ENDPOINT: &str = "https://huggingface.co";

/// A hub and the right to use it.
#[derive(Clone)]
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    offline: bool,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is shown nowhere.
        f.debug_struct("Hub").field("endpoint", &self.endpoint).field("offline", &self.offline).finish_non_exhaustive()
    }
}

/// What the hub says of a model.
#[derive(Debug, Deserialize)]
struct Model {
    sha: String,
    siblings: Vec<File>,
}

/// One of its files.
#[derive(Debug, Clone, Deserialize)]
struct File {
    #[serde(rename = "rfilename")]
    name: String,
    size: Option<u64>,
    lfs: Option<Large>,
}

/// A file that is stored by its hash.
#[derive(Debug, Clone, Deserialize)]
struct Large {
    sha256: String,
}

impl Hub {
    /// The hub at `endpoint`.
    pub fn new(endpoint: &str, token: Option<String>) -> Self {
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), token, offline: false }
    }

    /// The hub that the environment names: `HF_ENDPOINT`, `HF_TOKEN` (else the file `HF_TOKEN_PATH`, else `token` in `HF_HOME`
    /// or `~/.cache/huggingface`), `HF_HUB_OFFLINE`.
    pub fn from_env() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || variable("HF_HOME").or_else(|| Some(format!("{}/.cache/huggingface", variable("HOME")?)));
        let path = || variable("HF_TOKEN_PATH").or_else(|| Some(format!("{}/token", home()?)));
        let stored = || fs_err::read_to_string(path()?).ok();
        let token = variable("HF_TOKEN").or_else(stored).map(|token| token.trim().to_owned());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let offline = variable("HF_HUB_OFFLINE").is_some_and(|value| value != "0");
        Self { offline, ..Self::new(&endpoint, token.filter(|token| !token.is_empty())) }
    }

    fn client(&self) -> Result<reqwest::Client, HubError> {
        if self.offline {
            return Err(HubError::Offline);
        }
        // An error means that a provider is installed already, which serves as well.
        rustls::crypto::ring::default_provider().install_default().ok();
        let mut headers = HeaderMap::new();
        if let Some(token) = &self.token {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| HubError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let builder = reqwest::Client::builder().user_agent(concat!("marft/", env!("CARGO_PKG_VERSION")));
        builder.default_headers(headers).build().map_err(|error| self.unreachable(error))
    }

    async fn get(&self, client: &reqwest::Client, url: String) -> Result<reqwest::Response, HubError> {
        let response = client.get(url).send().await.map_err(|error| self.unreachable(error))?;
        match response.status().as_u16() {
            200..300 => Ok(response),
            status => Err(HubError::Status { status, endpoint: self.endpoint.clone(), token: self.token.is_some() }),
        }
    }

    fn unreachable(&self, error: reqwest::Error) -> HubError {
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        HubError::Unreachable { endpoint: self.endpoint.clone(), reason: cause.to_string() }
    }

    /// The commit that `main` stands at, and the files of it that make a model.
    async fn model(&self, client: &reqwest::Client, name: &str) -> Result<(String, Vec<File>), HubError> {
        let url = format!("{}/api/models/{name}/revision/main?blobs=true", self.endpoint);
        let body = self.get(client, url).await?.bytes().await.map_err(|error| self.unreachable(error))?;
        let Model { sha, siblings } =
            serde_json::from_slice(&body).map_err(|error| HubError::Answer { reason: error.to_string() })?;
        if sha.is_empty() || !sha.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(HubError::Answer { reason: format!("`{sha}` is no commit") });
        }
        let files: Vec<_> = siblings.into_iter().filter(|file| is_wanted(&file.name)).collect();
        let has = |test: &dyn Fn(&str) -> bool| files.iter().any(|file| test(&file.name));
        if has(&|name| name == "config.json") && has(&|name| name.ends_with(".safetensors")) {
            Ok((sha, files))
        } else {
            Err(HubError::NoModel)
        }
    }

    /// Brings one file to `path`, whole and checked, unless it is there.
    async fn fetch(&self, client: &reqwest::Client, url: String, file: &File, path: &Path) -> Result<(), Stop> {
        if path.exists() {
            return Ok(());
        }
        let part = path.with_file_name(format!("{}.part", file.name));
        let mut out = fs_err::File::create(&part)?;
        let (mut hash, mut length) = (Sha256::new(), 0);
        let mut bytes = self.get(client, url).await?.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| self.unreachable(error))?;
            std::io::Write::write_all(&mut out, &chunk)?;
            hash.update(&chunk);
            length += chunk.len() as u64;
        }
        out.sync_all()?;
        let found = format!("{:x}", hash.finalize());
        let damaged = |reason| Err(HubError::Damaged { file: file.name.clone(), reason }.into());
        if let Some(size) = file.size.filter(|&size| size != length) {
            return damaged(format!("{length} bytes came, {size} were announced"));
        }
        if let Some(large) = file.lfs.as_ref().filter(|large| large.sha256 != found) {
            return damaged(format!("its SHA-256 is {found}, {} was announced", large.sha256));
        }
        fs_err::rename(part, path)?;
        Ok(())
    }
}

/// What stops a fetch: the hub or the disk.
enum Stop {
    Hub(HubError),
    Disk(std::io::Error),
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        Self::Hub(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Store {
    /// Fetches the model `name` (`ORG/NAME`) from `hub` unless it is there, and returns its folder. Files that came whole
    /// before something failed are not fetched again. `note` is told each step.
    pub fn pull_hub(&self, name: &str, hub: &Hub, note: &mut dyn FnMut(&str)) -> Result<PathBuf, PretrainedError> {
        if !is_hub_id(name) {
            return Err(PretrainedError::Unknown { name: name.to_owned() });
        }
        let disk = |source| PretrainedError::Install { name: name.to_owned(), source };
        self.install(name, |staged| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(disk)?;
            runtime.block_on(hub.bring(name, staged, note)).map_err(|error| match error {
                Stop::Hub(source) => PretrainedError::Hub { name: name.to_owned(), source },
                Stop::Disk(source) => disk(source),
            })
        })
    }
}

impl Hub {
    async fn bring(&self, name: &str, staged: &Staged, note: &mut dyn FnMut(&str)) -> Result<(PathBuf, String), Stop> {
        let client = self.client()?;
        let (commit, files) = self.model(&client, name).await?;
        let folder = staged.downloads.join(&commit);
        fs_err::create_dir_all(&folder)?;
        for file in &files {
            note(&format!("fetching {} ({} MB)", file.name, file.size.unwrap_or(0) / 1_000_000));
            let url = format!("{}/{name}/resolve/{commit}/{}", self.endpoint, file.name);
            self.fetch(&client, url, file, &folder.join(&file.name)).await?;
        }
        Ok((folder, commit))
    }
}

/// Whether `name` is `ORG/NAME` in the characters that the hub allows.
pub(super) fn is_hub_id(name: &str) -> bool {
    let part = |part: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !part.is_empty() && part.bytes().all(allowed) && !part.starts_with('.') && !part.contains("--")
    };
    name.split_once('/').is_some_and(|(organisation, model)| part(organisation) && part(model))
}

/// Files that make a model: settings, tokenizer, templates, and weights as safetensors.
fn is_wanted(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let kind = match name.rsplit_once('.') {
        Some((stem, "safetensors")) => stem.starts_with("model"),
        Some((stem, "json")) => !stem.contains(".safetensors") || stem.starts_with("model"),
        Some((_, ending)) => ending == "jinja",
        None => false,
    };
    plain && kind && !name.starts_with('.')
}
