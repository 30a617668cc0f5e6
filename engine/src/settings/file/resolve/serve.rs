//! Servers that get adapters: each for the adapter of a policy that learns.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use marft_agents::policy::remote::adapters::Server;
use marft_agents::policy::remote::{RemoteConfig, RemoteError};
use marft_topologies::check::Code;
use marft_topologies::source::Spanned;

use super::agents::Roster;
use super::{Resolving, or};
use crate::settings::file::typed::{ServeFile, ServerWord};
use crate::settings::{ModelSettings, ServeSettings, Sharing};

/// The name of the weights that all agents share.
const SHARED: &str = "shared";

impl Resolving<'_> {
    /// The servers, by the name of the weights that they get.
    pub(super) fn serve(&mut self, roster: Option<&Roster>, model: &ModelSettings) -> BTreeMap<String, ServeSettings> {
        let Some(typed) = self.file.serve.as_ref() else { return BTreeMap::new() };
        let mut servers = BTreeMap::new();
        for (policy, server) in typed.iter() {
            match (model.weights, roster) {
                (Sharing::Full, _) => {
                    let message = "with `weights = \"full\"` there are no adapters to push";
                    self.report(Code::BadCombination, message, policy.span, "train adapters, or leave it out");
                }
                (_, Some(roster)) => self.has_an_adapter(policy, roster),
                (_, None) => {}
            }
            if let Some(settings) = self.server(server) {
                servers.insert(policy.value.clone(), settings);
            }
        }
        servers
    }

    fn has_an_adapter(&mut self, policy: &Spanned<String>, roster: &Roster) {
        let named = |name: &str| if name.is_empty() { SHARED.to_owned() } else { name.to_owned() };
        let learning: BTreeSet<String> =
            roster.learners.iter().filter_map(|label| roster.weights(label)).map(named).collect();
        if learning.contains(&policy.value) {
            return;
        }
        if roster.agents.iter().any(|(_, weights)| named(weights) == policy.value) {
            let message = format!("the adapter of `{}` never changes: it does not learn", policy.value);
            self.report(Code::BadCombination, message, policy.span, "leave it out");
            return;
        }
        self.unknown("policy that learns", policy, policy.span, learning.iter().map(String::as_str));
    }

    fn server(&mut self, typed: &ServeFile) -> Option<ServeSettings> {
        if let Some(url) = &typed.url
            && let Err(error) = RemoteConfig::new(&url.value, "").check()
        {
            let message = if let RemoteError::Config(message) = error { message } else { error.to_string() };
            self.report(Code::BadValue, message, url.span, "such as `http://127.0.0.1:8000/v1`");
        }
        if let Some(key) = typed.key_env.as_ref().filter(|key| key.is_empty() || key.contains(['=', '\0'])) {
            let message = "`key_env` is the name of an environment variable, never the key itself";
            self.report(Code::BadValue, message, key.span, "such as `VLLM_API_KEY`");
        }
        let limit = |seconds: f64| seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok();
        self.range("seconds", typed.seconds.as_ref(), limit, "a push takes some time");
        let patience = Duration::try_from_secs_f64(or(typed.seconds.as_ref(), 30.0)).unwrap_or_default();
        Some(ServeSettings {
            server: match typed.server.as_ref()?.value {
                ServerWord::Vllm => Server::Vllm,
                ServerWord::Sglang => Server::Sglang,
            },
            url: typed.url.as_ref()?.value.clone(),
            key_env: typed.key_env.as_ref().map(|key| key.value.clone()),
            patience,
            folder: typed.folder.as_ref().map(|folder| PathBuf::from(&folder.value)),
        })
    }
}
