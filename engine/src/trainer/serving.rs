//! Serving: what a checkpoint holds of a policy goes to a running server, beside the run.
//!
//! A push begins once its checkpoint stands and is waited for before the next one is written, so it never reads a folder that is
//! being removed, and a run waits for a server no longer than the server's limit of time. Nothing that a server does or fails to
//! do is an error of the run.
//!
//! Names under which a server may hold versions of a policy are written down before it is asked, so that a run that goes on
//! later drops them, whenever it was killed.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use crossbeam::channel::{Receiver, Sender, bounded};
use futures_util::FutureExt as _;
use marft_agents::policy::remote::adapters::{Pushed, push, served_name};
use marft_agents::policy::remote::{Client, RemoteConfig, RemoteError};
use serde::{Deserialize, Serialize};

use super::{Folder, TrainerError, roster};
use crate::io::Io;
use crate::settings::{RunSettings, ServeSettings};

/// File name of what servers may hold.
const BOOK: &str = "served.json";

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The step of the checkpoint.
    pub step: u64,
    /// Whose adapter it is.
    pub policy: String,
    /// The server's address.
    pub url: String,
    /// The name under which the server now has it, or why it does not.
    pub outcome: Result<String, String>,
    /// Versions before that the server did not drop, each with the reason; the next push asks again.
    pub kept: Vec<(String, String)>,
}

/// What a server may hold of one policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    url: String,
    /// The oldest first.
    names: Vec<String>,
}

/// A policy and the server that gets its adapters.
#[derive(Debug)]
struct Target {
    policy: String,
    settings: ServeSettings,
    client: Client,
}

/// A push that is over: of which target, of which step.
type Told = (usize, u64, Result<Pushed, Failure>);

/// Why a push came to nothing.
#[derive(Debug)]
struct Failure {
    reason: String,
    /// Whether the server may have the version all the same.
    may_be_there: bool,
}

/// Pushes of one run.
#[derive(Debug)]
pub(super) struct Serving {
    io: Io,
    targets: Vec<Target>,
    book: BTreeMap<String, Held>,
    told: (Sender<Told>, Receiver<Told>),
    under_way: usize,
}

impl Serving {
    /// What the settings ask for, with what earlier processes of the run have pushed; `None` where they ask for nothing.
    ///
    /// # Errors
    /// A key that is not in the environment, an address that is none, a book that cannot be read.
    pub(super) fn open(settings: &RunSettings, folder: &Folder) -> Result<Option<Self>, TrainerError> {
        if settings.serve.is_empty() {
            return Ok(None);
        }
        let mut targets = vec![];
        for (policy, settings) in &settings.serve {
            let mut config = RemoteConfig::new(&settings.url, "");
            config.deadline = settings.patience;
            config.key = settings.key_env.as_deref().map(|name| roster::key(name, policy)).transpose()?;
            let refuse = |error: RemoteError| TrainerError::Setting(format!("serve.{policy}: {error}"));
            let client = Client::new(config).map_err(refuse)?;
            targets.push(Target { policy: policy.clone(), settings: settings.clone(), client });
        }
        let path = folder.path().join(BOOK);
        let book = match fs_err::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| TrainerError::State { path, reason: error.to_string() })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error.into()),
        };
        // one push a target is under way at most: nobody ever waits to tell
        let told = bounded(targets.len());
        Ok(Some(Self { io: Io::start()?, targets, book, told, under_way: 0 }))
    }

    /// Begins to push the checkpoint of `step` in `folder`; the one before has been [waited for](Self::hear).
    ///
    /// # Errors
    /// The book cannot be written.
    pub(super) fn begin(&mut self, step: u64, checkpoint: &Path, folder: &Folder) -> Result<(), TrainerError> {
        let mut asked = vec![];
        for target in &self.targets {
            let held = self.book.entry(target.policy.clone()).or_default();
            if held.url != target.settings.url {
                // what another server holds is not this one's to drop
                *held = Held { url: target.settings.url.clone(), names: vec![] };
            }
            asked.push(held.names.clone());
            let name = served_name(&target.policy, step);
            held.names.retain(|known| *known != name);
            held.names.push(name);
        }
        self.write(folder)?;
        let beside = self.io.handle()?;
        for (at, (target, before)) in self.targets.iter().zip(asked).enumerate() {
            let (client, policy, patience) = (target.client.clone(), target.policy.clone(), target.settings.patience);
            let (server, told) = (target.settings.server, self.told.0.clone());
            let adapter = seen(target, checkpoint, folder)?;
            beside.spawn(async move {
                let pushing = push(&client, server, &policy, step, &adapter, &before);
                let pushing = AssertUnwindSafe(tokio::time::timeout(patience, pushing)).catch_unwind();
                let outcome = match pushing.await {
                    Ok(Ok(outcome)) => outcome.map_err(Failure::of),
                    Ok(Err(_)) => {
                        let reason = format!("it took longer than {} s", patience.as_secs_f64());
                        Err(Failure { reason, may_be_there: true })
                    }
                    Err(_) => Err(Failure { reason: "the client panicked".to_owned(), may_be_there: true }),
                };
                // a run that is gone needs no news
                told.send((at, step, outcome)).ok();
            });
            self.under_way += 1;
        }
        Ok(())
    }

    /// What came of pushes since it was last asked; with `wait`, of all that are under way.
    ///
    /// # Errors
    /// The book cannot be written.
    pub(super) fn hear(&mut self, wait: bool, folder: &Folder) -> Result<Vec<Served>, TrainerError> {
        let mut news = vec![];
        while self.under_way > 0 {
            let told = if wait { self.told.1.recv().ok() } else { self.told.1.try_recv().ok() };
            let Some((at, step, outcome)) = told else { break };
            self.under_way -= 1;
            news.push(self.note(at, step, outcome));
        }
        if !news.is_empty() {
            self.write(folder)?;
        }
        // servers answer in any order
        news.sort_by(|one, other| (one.step, &one.policy).cmp(&(other.step, &other.policy)));
        Ok(news)
    }

    fn note(&mut self, at: usize, step: u64, outcome: Result<Pushed, Failure>) -> Served {
        let target = &self.targets[at];
        let held = self.book.entry(target.policy.clone()).or_default();
        let name = served_name(&target.policy, step);
        let (outcome, kept) = match outcome {
            Ok(Pushed { name, kept }) => {
                held.names.retain(|known| *known == name || kept.iter().any(|(kept, _)| kept == known));
                (Ok(name), kept.into_iter().map(|(name, error)| (name, error.to_string())).collect())
            }
            Err(Failure { reason, may_be_there }) => {
                if !may_be_there {
                    held.names.retain(|known| *known != name);
                }
                (Err(reason), vec![])
            }
        };
        Served { step, policy: target.policy.clone(), url: target.settings.url.clone(), outcome, kept }
    }

    fn write(&self, folder: &Folder) -> Result<(), TrainerError> {
        let text = serde_json::to_vec_pretty(&self.book).map_err(std::io::Error::from)?;
        folder.write_whole(BOOK, &text)
    }
}

impl Failure {
    fn of(error: RemoteError) -> Self {
        // an answer that never came may have been one of success
        let refused = matches!(
            error,
            RemoteError::Connect { .. } | RemoteError::Config(_) | RemoteError::Status { status: 0..500, .. }
        );
        Self { reason: error.to_string(), may_be_there: !refused }
    }
}

/// The folder of the adapter as its server sees it.
fn seen(target: &Target, checkpoint: &Path, folder: &Folder) -> std::io::Result<PathBuf> {
    let own = checkpoint.join(&target.policy);
    match &target.settings.folder {
        Some(there) => Ok(there.join(own.strip_prefix(folder.path()).unwrap_or(&own))),
        None => std::path::absolute(own),
    }
}
