//! Servers that get adapters while a run goes on.

use std::path::PathBuf;
use std::time::Duration;

use marft_agents::policy::remote::adapters::Server;
use serde::{Deserialize, Serialize};

/// A server that gets the adapter of a policy after every checkpoint. It holds no secret: this is written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServeSettings {
    /// What it is.
    pub server: Server,
    /// Its address up to and including the version.
    pub url: String,
    /// Environment variable that holds its key.
    pub key_env: Option<String>,
    /// How long a push may take, further attempts included.
    pub patience: Duration,
    /// Where the server finds the run's folder; `None` where it is there too.
    pub folder: Option<PathBuf>,
}
