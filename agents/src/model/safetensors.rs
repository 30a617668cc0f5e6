//! Weights of a Hugging Face folder: one `model.safetensors`, or the shards that `model.safetensors.index.json` lists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::error::ModelError;
use super::source::{TensorSource, check_shape};
use super::weight_file::WeightFile;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Prefixes under which multi-part checkpoints keep their text part, in place of `model.`.
const TEXT_PREFIXES: [&str; 3] = ["model.", "language_model.model.", "model.language_model."];

/// The open shards of a folder.
#[derive(Debug)]
pub struct SafetensorsSource {
    folder: PathBuf,
    shards: Vec<Shard>,
    by_name: BTreeMap<String, usize>,
}

#[derive(Debug)]
struct Shard {
    file: WeightFile,
    data_start: u64,
    header: Metadata,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl SafetensorsSource {
    /// Opens the weights of `folder` and checks every shard's header.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        let mut source = Self { folder: folder.to_owned(), shards: Vec::new(), by_name: BTreeMap::new() };
        for name in shard_names(folder)? {
            let shard = Shard::open(&folder.join(name))?;
            source.by_name.extend(shard.header.offset_keys().into_iter().map(|tensor| (tensor, source.shards.len())));
            source.shards.push(shard);
        }
        Ok(source)
    }

    fn stored_name(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(TEXT_PREFIXES[0]);
        let names = TEXT_PREFIXES.iter().filter_map(|prefix| rest.map(|rest| format!("{prefix}{rest}")));
        let prefixed = (rest.is_none()).then(|| format!("language_model.{name}"));
        names.chain([name.to_owned()]).chain(prefixed).find(|name| self.by_name.contains_key(name))
    }
}

impl TensorSource for SafetensorsSource {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let missing =
            || ModelError::MissingTensor { origin: self.folder.display().to_string(), tensor: name.to_owned() };
        let stored = self.stored_name(name).ok_or_else(missing)?;
        self.shards[self.by_name[&stored]].tensor(&stored, shape)
    }

    fn has(&self, name: &str) -> bool {
        self.stored_name(name).is_some()
    }
}

impl Shard {
    fn open(path: &Path) -> Result<Self, ModelError> {
        let file = WeightFile::open(path)?;
        let length = file.bytes(0, 8, "the header's length")?;
        let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
        let header = file.bytes(8, length, "the header")?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|error| ModelError::damaged(path, format!("its header does not hold together: {error}")))?;
        let data_start = 8 + length;
        let expected = data_start.saturating_add(header.data_len() as u64);
        if expected != file.length() {
            let reason = format!("it has {} bytes, its header describes {expected}", file.length());
            return Err(ModelError::damaged(path, reason));
        }
        Ok(Self { file, data_start, header })
    }

    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let origin = self.file.path().display().to_string();
        let info = self
            .header
            .info(name)
            .ok_or_else(|| ModelError::MissingTensor { origin: origin.clone(), tensor: name.to_owned() })?;
        let found: Vec<i64> = info.shape.iter().map(|&size| size as i64).collect();
        check_shape(&origin, name, &found, shape)?;
        let kind = match info.dtype {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            other => {
                let format = format!("{other:?}");
                return Err(ModelError::Format { origin, tensor: name.to_owned(), format });
            }
        };
        let (start, end) = info.data_offsets;
        let bytes = self.file.bytes(self.data_start + start as u64, (end - start) as u64, name)?;
        Tensor::f_from_data_size(&bytes, shape, kind)
            .map_err(|error| ModelError::torch(format!("copying tensor `{name}` of `{origin}`"), &error))
    }
}

/// The shards' file names. An index may only name files beside it.
fn shard_names(folder: &Path) -> Result<BTreeSet<String>, ModelError> {
    let index = folder.join(INDEX);
    if !index.exists() {
        return Ok(BTreeSet::from([SINGLE.to_owned()]));
    }
    let text = fs_err::read(&index).map_err(|error| ModelError::read(&index, error))?;
    let parsed: Index =
        serde_json::from_slice(&text).map_err(|error| ModelError::damaged(&index, error.to_string()))?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    for name in &names {
        let parts: Vec<_> = Path::new(name).components().collect();
        if !matches!(parts[..], [Component::Normal(_)]) {
            return Err(ModelError::damaged(&index, format!("it names `{name}`, which is not a file beside it")));
        }
    }
    Ok(names)
}
