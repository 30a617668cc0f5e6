//! The base model, the adapters and the critic.

use marft_agents::lora::{LoraConfig, Targets};
use marft_agents::pretrained::{CATALOGUE, Entry, Location, PretrainedError, Store};
use marft_topologies::check::Code;
use marft_topologies::check::names::nearest;
use marft_topologies::source::Spanned;

use super::{Resolving, or};
use crate::settings::file::typed::{CriticFile, DtypeWord, LoraFile, ModelFile, SharingWord};
use crate::settings::{CriticSettings, DeviceName, Dtype, ModelSettings, Sharing};

/// The model where none is named.
const BASE: &str = "smollm2-135m-instruct";

impl Resolving<'_> {
    /// The model of the run.
    pub(super) fn model(&mut self) -> ModelSettings {
        let none = ModelFile::default();
        let model = self.file.model.as_ref().map_or(&none, |model| &model.value);
        let device = model.device.as_ref().map_or(DeviceName::Cpu, |device| self.device(device));
        let weights = match or(model.weights.as_ref(), SharingWord::Team) {
            SharingWord::Team => Sharing::Team,
            SharingWord::Shared => Sharing::Shared,
            SharingWord::PerAgent => Sharing::PerAgent,
            SharingWord::Full => Sharing::Full,
        };
        if let (Some(lora), Sharing::Full) = (&model.lora, weights) {
            let message = "settings of adapters have no effect with `weights = \"full\"`: the base itself learns";
            self.report(Code::BadCombination, message, lora.span, "leave `[model.lora]` out");
        }
        let cpu = device == DeviceName::Cpu;
        if let Some(packed) = model.packed.as_ref().filter(|packed| packed.value && (!cpu || weights == Sharing::Full))
        {
            let message = if cpu {
                "a packed copy of weights that learn would be out of date: `packed` excludes `weights = \"full\"`"
            } else {
                "`packed` has no effect on CUDA"
            };
            self.report(Code::BadCombination, message, packed.span, "leave `packed` out");
        }
        self.range("threads", model.threads.as_ref(), |threads| threads > 0, "at least one thread is needed");
        let cache = |mib: u64| (1..=1 << 30).contains(&mib);
        self.range("cache_mib", model.cache_mib.as_ref(), cache, "it lies from 1 to 1073741824");
        let none = CriticFile::default();
        let critic = model.critic.as_ref().map_or(&none, |critic| &critic.value);
        for width in critic.hidden.iter().flat_map(|widths| widths.iter()) {
            self.range("hidden", Some(width), |width| (1..=1 << 16).contains(&width), "a width lies from 1 to 65536");
        }
        let hidden = critic.hidden.as_ref().map(|widths| widths.iter().map(|width| width.value as usize).collect());
        ModelSettings {
            base: model.base.as_ref().map_or_else(|| BASE.to_owned(), |base| self.base(base)),
            dtype: match or(model.dtype.as_ref(), DtypeWord::Bf16) {
                DtypeWord::F32 | DtypeWord::Float32 => Dtype::F32,
                DtypeWord::Bf16 | DtypeWord::Bfloat16 => Dtype::Bf16,
            },
            device,
            packed: or(model.packed.as_ref(), cpu && weights != Sharing::Full),
            threads: model.threads.as_ref().map(|threads| threads.value as usize),
            cache_mib: or(model.cache_mib.as_ref(), 2048),
            lora: model.lora.as_ref().map_or_else(LoraConfig::default, |lora| self.lora(lora)),
            weights,
            frozen: model.frozen.iter().flat_map(|names| names.0.iter()).map(|name| name.value.clone()).collect(),
            critic: CriticSettings {
                hidden: hidden.unwrap_or_else(|| vec![1024, 512]),
                per_agent: or(critic.per_agent.as_ref(), false),
                lora: critic.lora.as_ref().map(|lora| self.lora(lora)),
            },
        }
    }

    /// A model's name; a path beside the run file becomes usable from anywhere.
    fn base(&mut self, base: &Spanned<String>) -> String {
        let beside = self.beside(base);
        let random = base.starts_with("random:");
        let means = if !random && beside.exists() { beside.display().to_string() } else { base.value.clone() };
        let is_there = |means: &str| Location::resolve(means, &Store::user()?);
        let Err(error) = is_there(&means) else { return means };
        match error {
            // an alias can be fetched later, and where nothing has a cache no name can be looked up
            PretrainedError::NotInstalled { name } if Entry::named(&name).is_some() => {}
            PretrainedError::NoCache => {}
            PretrainedError::Unknown { .. } if base.starts_with(['.', '/']) || base.ends_with(".gguf") => {
                let message = format!("there is no model `{}`", beside.display());
                let help = "paths are relative to the folder of the run file; `marft model list` shows what has a name";
                self.report(Code::MissingFile, message, base.span, help);
            }
            PretrainedError::Unknown { .. } | PretrainedError::NotInstalled { .. } => {
                let help = known_model(base).map_or_else(
                    || "`marft model list` shows what has a name, and `marft model pull` fetches more".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.report(Code::DanglingReference, error.to_string(), base.span, help);
            }
            PretrainedError::Model(_) => {
                let help = "such as `random:llama`, or `random:llama,layers=4,seed=1`";
                self.report(Code::BadValue, error.to_string(), base.span, help);
            }
            _ => {
                let help = "name a folder with a `config.json`, a `.gguf` file, or a model by its name";
                self.report(Code::MissingFile, error.to_string(), base.span, help);
            }
        }
        means
    }

    fn device(&mut self, device: &Spanned<String>) -> DeviceName {
        let numbered = |name: &str| name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
        match device.as_str() {
            "auto" if tch::Cuda::is_available() => DeviceName::Cuda(0),
            "cpu" | "auto" => DeviceName::Cpu,
            "cuda" => DeviceName::Cuda(0),
            other => numbered(other).map_or_else(
                || {
                    let message = format!("`{other}` is no device");
                    self.report(Code::BadValue, message, device.span, "use `cpu`, `cuda`, `cuda:N` or `auto`");
                    DeviceName::Cpu
                },
                DeviceName::Cuda,
            ),
        }
    }

    fn lora(&mut self, lora: &Spanned<LoraFile>) -> LoraConfig {
        let default = LoraConfig::default();
        let rank = or(lora.rank.as_ref(), default.rank as u32) as usize;
        let targets = lora.targets.as_ref().map_or(default.targets, |names| {
            let texts: Vec<&str> = names.0.iter().map(|name| name.value.as_str()).collect();
            Targets::parse(&texts).unwrap_or_else(|error| {
                self.report(Code::BadValue, error.to_string(), names.span, "`all-linear` takes every linear layer");
                Targets::AllLinear
            })
        });
        self.range("rank", lora.rank.as_ref(), |rank| (1..=1 << 14).contains(&rank), "it lies from 1 to 16384");
        self.range("alpha", lora.alpha.as_ref(), |alpha| alpha > 0.0, "it must be positive");
        self.range("dropout", lora.dropout.as_ref(), |share| (0.0..1.0).contains(&share), "it lies in [0, 1)");
        LoraConfig {
            rank,
            alpha: or(lora.alpha.as_ref(), 2.0 * rank as f64),
            rslora: or(lora.rslora.as_ref(), default.rslora),
            dropout: or(lora.dropout.as_ref(), default.dropout),
            targets,
        }
    }
}

/// The model that a mistyped name may mean: an alias, or one that is installed.
fn known_model(name: &str) -> Option<String> {
    let installed = Store::user().and_then(|store| store.list().map_err(|_| PretrainedError::NoCache));
    let installed: Vec<String> = installed.into_iter().flatten().map(|model| model.name).collect();
    let aliases = CATALOGUE.iter().map(|entry| entry.name);
    nearest(name, aliases.chain(installed.iter().map(String::as_str))).map(str::to_owned)
}
