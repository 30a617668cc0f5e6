//! Where a server is and how it may be used.

use std::time::Duration;

use super::error::RemoteError;

/// A secret that is shown nowhere: not by `Debug`, not in errors, not in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Reads a key from an environment variable; `None` where it is not set or empty.
    pub fn from_env(variable: &str) -> Option<Self> {
        std::env::var(variable).ok().filter(|key| !key.is_empty()).map(Self)
    }

    /// A key that is at hand.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// A server and the limits of using it.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteConfig {
    /// Address up to and including the version, such as `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    /// The model to ask for.
    pub model: String,
    /// The key, where the server wants one.
    pub key: Option<ApiKey>,
    /// How long one call may take, retries and waiting included.
    pub deadline: Duration,
    /// How often a call is tried again after a failure that may pass.
    pub retries: u32,
    /// The first wait before trying again; it doubles each time, up to 30 s.
    pub back_off: Duration,
    /// Most calls in a minute; `None` = no limit of ours.
    pub calls_per_minute: Option<u32>,
}

impl RemoteConfig {
    /// A server without a key, with a deadline of two minutes, four retries from half a second on, and no limit of calls.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            key: None,
            deadline: Duration::from_mins(2),
            retries: 4,
            back_off: Duration::from_millis(500),
            calls_per_minute: None,
        }
    }

    /// The address of an endpoint below the base.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.base_url.trim_end_matches('/'))
    }

    /// Checks what can be checked without asking the server.
    ///
    /// # Errors
    /// The address is none, or a limit is 0.
    pub fn check(&self) -> Result<(), RemoteError> {
        let refuse = |message: String| Err(RemoteError::Config(message));
        match reqwest::Url::parse(&self.base_url) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                // it would be written down with the address
                return refuse("the address holds a name or a password; a key belongs into the environment".to_owned());
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {}
            _ => return refuse(format!("`{}` is no http address", self.base_url)),
        }
        if self.deadline.is_zero() || self.calls_per_minute == Some(0) {
            return refuse("the deadline and the calls per minute must be above 0".to_owned());
        }
        Ok(())
    }
}
