//! The roster: which agents speak with which weights, who learns by which algorithm, and the device that holds it all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use marft_agents::critic::{CriticConfig, CriticId, HeadStart};
use marft_agents::device::{Device, DeviceHandle, DeviceThread};
use marft_agents::generate::{Generator, GeneratorOptions, PolicyId, TokenBytes};
use marft_agents::model::{ModelConfig, Placement};
use marft_agents::parse::Form;
use marft_agents::policy::remote::{ApiKey, Client, RemoteConfig};
use marft_agents::pretrained::{Location, Store};
use marft_agents::text::Text;
use marft_agents::train::{OptimizerConfig, PolicySpec, PolicyTable, Schedule};
use marft_algorithms::preset::{Algorithm, Compat};
use marft_topologies::Team;
use marft_topologies::team::{self, PolicyKind};

use super::TrainerError;
use crate::io::Io;
use crate::learn::{Cohort, Player};
use crate::seed::Seed;
use crate::settings::{DeviceName, Dtype, RunSettings, Sharing};
use crate::voice::{
    Demonstrator, DeviceVoice, Exchanges, Forwarder, Human, Prompts, Remote, Sayings, Scripted, Voice, VoiceFault,
    Words,
};

/// Weights on the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The name of their folder in a checkpoint.
    pub name: String,
    /// Their name on the device.
    pub policy: PolicyId,
    /// Labels of the agents that speak with them.
    pub agents: Vec<String>,
    /// How they are trained; `None` where they are not.
    pub optimizer: Option<OptimizerConfig>,
    /// Folder of the adapter they start from.
    pub adapter: Option<String>,
}

/// Who speaks and learns.
#[derive(Debug)]
pub struct Roster {
    device: DeviceThread<PolicyTable>,
    forwarder: Arc<Forwarder>,
    text: Arc<Text>,
    model: ModelConfig,
    team: Arc<Team>,
    weights: Vec<Weights>,
    players: Vec<Player>,
    cohorts: Vec<Cohort>,
    patience: Option<Duration>,
    /// The threads of remote voices; `None` where the team has none.
    io: Option<Io>,
    /// What people were asked and what they answered.
    exchanges: Arc<Exchanges>,
}

/// What a roster will be, without a device.
#[derive(Debug, Clone, PartialEq)]
pub struct RosterPlan {
    /// Weights, by policy id.
    pub weights: Vec<Weights>,
    /// Agents that learn, in the order of the team.
    pub players: Vec<Player>,
    /// Cohorts of agents.
    pub cohorts: Vec<Cohort>,
}

/// How the base is put into memory.
pub(super) fn placement(settings: &RunSettings) -> Placement {
    let device = match settings.model.device {
        DeviceName::Cpu => tch::Device::Cpu,
        DeviceName::Cuda(index) => tch::Device::Cuda(index),
    };
    let kind = match settings.model.dtype {
        Dtype::F32 => tch::Kind::Float,
        Dtype::Bf16 => tch::Kind::BFloat16,
    };
    Placement { device, kind, tiled: settings.deterministic, packed: settings.model.packed }
}

impl RosterPlan {
    /// Reads the team and the settings.
    ///
    /// # Errors
    /// A team that needs what the run does not have.
    pub fn new(team: &Team, settings: &RunSettings) -> Result<Self, TrainerError> {
        let mut weights: Vec<Weights> = vec![];
        let mut players = vec![];
        for (id, agent) in team.agents() {
            let policy = team.policy(agent.policy);
            let PolicyKind::Local { base, adapter } = &policy.kind else { continue };
            if let Some(base) = base.as_ref().filter(|base| **base != settings.model.base) {
                return Err(TrainerError::Setting(format!(
                    "policy `{}` is based on `{base}`, but the run on `{}`: all local policies of a run share one base",
                    policy.name, settings.model.base
                )));
            }
            let label = &team.node(id).label;
            let name = match settings.model.weights {
                Sharing::Team => policy.name.clone(),
                Sharing::Shared => "shared".to_owned(),
                Sharing::PerAgent => label.clone(),
                Sharing::Full => "base".to_owned(),
            };
            let at = weights.iter().position(|own| own.name == name).unwrap_or_else(|| {
                let id = PolicyId(weights.len() as u32);
                let adapter = adapter.as_ref().map(|adapter| beside(&settings.team, adapter));
                weights.push(Weights { name, policy: id, agents: vec![], optimizer: None, adapter });
                weights.len() - 1
            });
            if !weights[at].agents.contains(label) {
                weights[at].agents.push(label.clone());
            }
            let algorithm = settings.algorithm.get(label);
            if let Some(algorithm) = algorithm.filter(|_| agent.trainable && !settings.model.frozen.contains(label)) {
                let optimizer = optimizer(algorithm, agent, settings);
                weights[at].optimizer.get_or_insert(optimizer);
                if !players.iter().any(|player: &Player| player.label == *label) {
                    let temperature = agent.sampling.temperature;
                    let policy = weights[at].policy;
                    let shares = settings.shares.get(label).copied();
                    players.push(Player { label: label.clone(), place: 0, policy, temperature, shares });
                }
            }
        }
        let cohorts = cohorts(&players, settings);
        Ok(Self { weights, players, cohorts })
    }

    /// Settings of the critic of a cohort.
    pub fn critic(&self, cohort: &Cohort, settings: &RunSettings) -> Option<(CriticId, CriticConfig)> {
        let (id, per_agent) = cohort.critic?;
        let optimizer = OptimizerConfig {
            lr: cohort.algorithm.critic_learning_rate,
            ..base_optimizer(&cohort.algorithm, settings)
        };
        let own = &settings.model.critic;
        let heads = if per_agent { cohort.players.len() } else { 1 };
        let start = match cohort.algorithm.compat {
            Compat::None => HeadStart::Zero,
            Compat::MarftV1 => HeadStart::Random,
        };
        Some((id, CriticConfig { hidden: own.hidden.clone(), heads, start, lora: own.lora.clone(), optimizer }))
    }
}

/// A path of the team file, from where that file is.
fn beside(team: &str, path: &str) -> String {
    match std::path::Path::new(team).parent() {
        Some(folder) if !team.starts_with("catalog:") => folder.join(path).display().to_string(),
        _ => path.to_owned(),
    }
}

/// AdamW as the algorithm and the run say, before the schedule of a stage.
fn base_optimizer(algorithm: &Algorithm, settings: &RunSettings) -> OptimizerConfig {
    let train = &settings.train;
    OptimizerConfig {
        lr: algorithm.learning_rate,
        beta1: train.beta1,
        beta2: train.beta2,
        eps: algorithm.adam_eps,
        weight_decay: algorithm.weight_decay,
        max_grad_norm: (algorithm.max_grad_norm > 0.0).then_some(algorithm.max_grad_norm),
        schedule: Schedule { decay: train.decay, warmup: train.warmup, total: 0 },
    }
}

fn optimizer(algorithm: &Algorithm, agent: &team::Agent, settings: &RunSettings) -> OptimizerConfig {
    let mut config = base_optimizer(algorithm, settings);
    if let Some(own) = agent.optimizer {
        config.lr = own.lr.unwrap_or(config.lr);
        config.weight_decay = own.weight_decay.unwrap_or(config.weight_decay);
        config.max_grad_norm = own.clip.or(config.max_grad_norm);
    }
    config
}

/// Whether two agents belong to one chain: everything but their optimisers is the same.
fn learns_alike(one: &Algorithm, other: &Algorithm) -> bool {
    let Algorithm { learning_rate, weight_decay, adam_eps, max_grad_norm, .. } = *one;
    Algorithm { learning_rate, weight_decay, adam_eps, max_grad_norm, ..other.clone() } == *one
}

/// Agents that learn alike learn together.
fn cohorts(players: &[Player], settings: &RunSettings) -> Vec<Cohort> {
    let mut cohorts: Vec<Cohort> = vec![];
    for player in players {
        let Some(algorithm) = settings.algorithm.get(&player.label) else { continue };
        let kl_target = settings.kl_target.get(&player.label).copied();
        let alike = |cohort: &&mut Cohort| cohort.kl_target == kl_target && learns_alike(&cohort.algorithm, algorithm);
        if let Some(cohort) = cohorts.iter_mut().find(alike) {
            cohort.players.push(Player { place: cohort.players.len(), ..player.clone() });
        } else {
            let index = cohorts.len();
            let id = CriticId(index as u32);
            let critic = algorithm.needs_critic().then_some((id, settings.model.critic.per_agent));
            let (algorithm, players) = (algorithm.clone(), vec![player.clone()]);
            cohorts.push(Cohort { index, algorithm, players, critic, kl_target });
        }
    }
    cohorts
}

impl Roster {
    /// Loads the base, puts the policies and critics on it, and starts the device.
    ///
    /// # Errors
    /// The model cannot be had, the team needs what is not there, the device refuses.
    pub fn assemble(team: &Arc<Team>, settings: &RunSettings) -> Result<Self, TrainerError> {
        let plan = RosterPlan::new(team, settings)?;
        let location = Location::resolve(&settings.model.base, &Store::user()?)?;
        let text = Arc::new(location.text()?);
        can_be_held(team, &text)?;
        let model = location.weights()?.config;
        let placement = placement(settings);
        let options =
            GeneratorOptions { cache_bytes: (settings.model.cache_mib as usize) << 20, ..GeneratorOptions::default() };
        let tokens = Arc::clone(&text) as Arc<dyn TokenBytes>;
        let threads = settings.model.threads;
        let device = DeviceThread::spawn("marft-device", 4096, move || -> Result<_, TrainerError> {
            if let Some(threads) = threads {
                tch::set_num_threads(threads as i32);
            }
            let decoder = location.decoder(placement)?;
            let generator = Generator::new(&decoder, tokens, options)?;
            Ok(Device { decoder, policies: PolicyTable::default(), generator })
        })?;
        let forwarder = Arc::new(Forwarder::start(Arc::clone(&text))?);
        let RosterPlan { weights, players, cohorts } = plan.clone();
        let patience = settings.rollout.turn_seconds.map(Duration::from_secs_f64);
        let remote = team.policies().iter().any(|policy| matches!(policy.kind, PolicyKind::Remote { .. }));
        let io = remote.then(Io::start).transpose()?;
        let team = Arc::clone(team);
        let roster = Self {
            device,
            forwarder,
            text,
            model,
            team,
            weights,
            players,
            cohorts,
            patience,
            io,
            exchanges: Arc::default(),
        };
        roster.populate(&plan, settings)?;
        Ok(roster)
    }

    fn populate(&self, plan: &RosterPlan, settings: &RunSettings) -> Result<(), TrainerError> {
        let handle = self.handle();
        for own in &self.weights {
            let seed = Seed::of_run(settings.seed).child("adapter", u64::from(own.policy.0)).draw(0);
            match (&own.adapter, own.optimizer, settings.model.weights) {
                (_, Some(optimizer), Sharing::Full) => handle.add_policy(own.policy, PolicySpec::Full { optimizer })?,
                (Some(folder), optimizer, _) => handle.load_policy(own.policy, folder.into(), optimizer)?,
                (None, Some(optimizer), _) => {
                    let lora = settings.model.lora.clone();
                    handle.add_policy(own.policy, PolicySpec::Lora { lora, optimizer: Some(optimizer), seed })?;
                }
                (None, None, _) => handle.add_policy(own.policy, PolicySpec::Base)?,
            }
        }
        for cohort in &plan.cohorts {
            if let Some((id, config)) = plan.critic(cohort, settings) {
                let seed = Seed::of_run(settings.seed).child("critic", u64::from(id.0)).draw(0);
                handle.set_critic(id, config, seed)?;
            }
        }
        Ok(())
    }

    /// Commands to the device.
    pub fn handle(&self) -> DeviceHandle<PolicyTable> {
        self.device.handle()
    }

    /// How its text is made of tokens.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// The weights, by policy id.
    pub fn weights(&self) -> &[Weights] {
        &self.weights
    }

    /// Agents that learn, in the order of the team.
    pub fn players(&self) -> &[Player] {
        &self.players
    }

    /// Who learns by which algorithm.
    pub fn cohorts(&self) -> &[Cohort] {
        &self.cohorts
    }

    /// What people were asked and what they answered.
    pub fn exchanges(&self) -> &Exchanges {
        &self.exchanges
    }

    /// Shape of the base model.
    pub fn model(&self) -> &ModelConfig {
        &self.model
    }

    /// A voice for every policy of the team: adapters on the device, servers, a person at the terminal, fixed replies.
    ///
    /// # Errors
    /// A server that cannot be asked, or a key that is not in the environment.
    pub fn voices(&mut self) -> Result<Vec<Arc<dyn Voice>>, TrainerError> {
        let mut speakers = HashMap::new();
        for own in &self.weights {
            speakers.extend(own.agents.iter().map(|agent| (agent.clone(), own.policy)));
        }
        let local = Arc::new(DeviceVoice::new(
            self.handle(),
            Arc::clone(&self.forwarder),
            Arc::clone(&self.text),
            speakers,
            self.model.context,
            self.patience,
        ));
        let team = Arc::clone(&self.team);
        let mut person: Option<Arc<Human>> = None;
        let mut voice = |policy: &team::Policy| -> Result<Arc<dyn Voice>, TrainerError> {
            match &policy.kind {
                PolicyKind::Local { .. } => Ok(Arc::clone(&local) as Arc<dyn Voice>),
                PolicyKind::Scripted { replies } => Ok(Arc::new(fixed(replies.clone()))),
                PolicyKind::Remote { model, url, key_env, logprobs, stream, native_tools: _ } => {
                    let beside = match &mut self.io {
                        Some(io) => io.handle()?,
                        None => self.io.insert(Io::start()?).handle()?,
                    };
                    let mut config = RemoteConfig::new(url, model);
                    config.key = key_env.as_deref().map(|name| key(name, &policy.name)).transpose()?;
                    let refuse = |error: &dyn std::fmt::Display| {
                        TrainerError::Setting(format!("policy `{}`: {error}", policy.name))
                    };
                    let client = Client::new(config).map_err(|error| refuse(&error))?;
                    let mut voice = Remote::new(client, beside);
                    voice = if *logprobs { voice.with_logprobs() } else { voice };
                    Ok(Arc::new(if *stream { voice.streaming() } else { voice }))
                }
                PolicyKind::Human => {
                    // one for all policies: two readers of one terminal would take lines from each other
                    let person = match &mut person {
                        Some(person) => person,
                        none => {
                            let input = std::io::BufReader::new(std::io::stdin());
                            let exchanges = Arc::clone(&self.exchanges);
                            none.insert(Arc::new(Human::start(input, std::io::stderr(), exchanges)?))
                        }
                    };
                    Ok(Arc::clone(person) as Arc<dyn Voice>)
                }
            }
        };
        team.policies().iter().map(&mut voice).collect()
    }

    /// Voices that say what demonstrations say.
    pub fn demonstrators(&self, sayings: &Arc<Sayings>) -> Vec<Arc<dyn Voice>> {
        let prompts = Prompts::new(Arc::clone(&self.text));
        let voice = |policy: &team::Policy| -> Arc<dyn Voice> {
            match &policy.kind {
                PolicyKind::Scripted { replies } => Arc::new(fixed(replies.clone())),
                _ => Arc::new(Demonstrator::new(Arc::clone(sayings), prompts.clone())),
            }
        };
        self.team.policies().iter().map(voice).collect()
    }

    /// Names of weights by policy id, for logs.
    pub fn names(&self) -> BTreeMap<PolicyId, String> {
        self.weights.iter().map(|own| (own.policy, own.name.clone())).collect()
    }
}

/// Checks that the forms of agents on the device can be followed in its tokens: that they can be followed at all, the run file's
/// check has found.
fn can_be_held(team: &Team, text: &Text) -> Result<(), TrainerError> {
    for (id, agent) in team.agents().filter(|(_, agent)| team.policy(agent.policy).kind.is_local()) {
        let Some(constraint) = &agent.constraint else { continue };
        let refuse =
            |reason| TrainerError::Setting(format!("`constrain` of agent `{}`: {reason}", team.node(id).label));
        Form::from(&constraint.value).check_for(text).map_err(refuse)?;
    }
    Ok(())
}

/// A key from the environment; it is never written down.
pub(super) fn key(name: &str, policy: &str) -> Result<ApiKey, TrainerError> {
    std::env::var(name).map(ApiKey::new).map_err(|_| {
        TrainerError::Setting(format!(
            "policy `{policy}` takes its key from the environment, where `{name}` is not set"
        ))
    })
}

/// Fixed replies, taken in turn and starting over at the end.
fn fixed(replies: Vec<String>) -> Scripted {
    Scripted::new(move |question| {
        let text = replies.get(question.turn % replies.len().max(1)).cloned();
        let fault = || VoiceFault { message: "a scripted policy has no replies".to_owned(), transient: false };
        Ok(Words { text: text.ok_or_else(fault)?, ..Words::default() })
    })
}
