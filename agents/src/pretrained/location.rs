//! What a model's name means, and opening what it names.

use std::path::{Path, PathBuf};

use super::catalogue::Entry;
use super::error::PretrainedError;
use super::store::Store;
use crate::model::gguf::GgufSource;
use crate::model::random::{self, RandomSource};
use crate::model::{Decoder, ModelConfig, ModelError, Placement, SafetensorsSource, TensorSource};
use crate::text::Text;

/// Where a model is. Plain data: threads open it for themselves.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// A Hugging Face folder.
    Folder(PathBuf),
    /// A GGUF file.
    Gguf(PathBuf),
    /// Seeded random weights.
    Random {
        /// The shape.
        config: Box<ModelConfig>,
        /// The seed.
        seed: u64,
    },
}

/// A model's shape and its weights, still on the disk.
pub struct Weights {
    /// The shape.
    pub config: ModelConfig,
    /// The named tensors.
    pub source: Box<dyn TensorSource + Send>,
}

impl Location {
    /// What `name` means: `random:…`, a path, an alias or an installed model, in this order.
    pub fn resolve(name: &str, store: &Store) -> Result<Self, PretrainedError> {
        if name.starts_with(random::PREFIX) {
            let (config, seed) = random::parse(name)?;
            return Ok(Self::Random { config: Box::new(config), seed });
        }
        let path = Path::new(name);
        if path.exists() {
            return Self::at(path);
        }
        if let Some(folder) = store.find(name) {
            return match Entry::named(name) {
                Some(entry) => Ok(Self::Gguf(folder.join(entry.file))),
                None => Self::at(&folder),
            };
        }
        let looks_like_path = name.starts_with(['.', '/', '~']) || path.extension().is_some_and(|end| end == "gguf");
        let name = name.to_owned();
        if Entry::named(&name).is_some() || (name.matches('/').count() == 1 && !looks_like_path) {
            return Err(PretrainedError::NotInstalled { name });
        }
        Err(PretrainedError::Unknown { name })
    }

    fn at(path: &Path) -> Result<Self, PretrainedError> {
        if path.join("config.json").is_file() {
            Ok(Self::Folder(path.to_owned()))
        } else if path.is_file() && path.extension().is_some_and(|ending| ending == "gguf") {
            Ok(Self::Gguf(path.to_owned()))
        } else {
            Err(PretrainedError::NotAModel { path: path.to_owned() })
        }
    }

    /// Opens the weights; none are read yet.
    pub fn weights(&self) -> Result<Weights, ModelError> {
        Ok(match self {
            Self::Folder(folder) => Weights {
                config: ModelConfig::read(&folder.join("config.json"))?,
                source: Box::new(SafetensorsSource::open(folder)?),
            },
            Self::Gguf(path) => {
                let source = GgufSource::open(path)?;
                Weights { config: source.config().clone(), source: Box::new(source) }
            }
            Self::Random { config, seed } => {
                Weights { config: (**config).clone(), source: Box::new(RandomSource::new(config, *seed)) }
            }
        })
    }

    /// Reads the weights into a decoder.
    pub fn decoder(&self, placement: Placement) -> Result<Decoder, ModelError> {
        let Weights { config, source } = self.weights()?;
        Decoder::load(&config, source.as_ref(), placement)
    }

    /// Opens the tokenizer and the chat template. Random models read bytes.
    pub fn text(&self) -> Result<Text, PretrainedError> {
        Ok(match self {
            Self::Folder(folder) => Text::open_folder(folder)?,
            Self::Gguf(path) => Text::from_gguf(GgufSource::open(path)?.header(), &path.display().to_string())?,
            Self::Random { .. } => Text::bytes()?,
        })
    }
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Weights").field("config", &self.config).finish_non_exhaustive()
    }
}
