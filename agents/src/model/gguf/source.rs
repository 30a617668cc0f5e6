//! Weights, configuration and text metadata of a GGUF file.

use std::io::BufReader;
use std::path::Path;

use tch::{Kind, Tensor};

use super::config::to_json;
use super::format::Format;
use super::header::{Header, TensorInfo};
use super::names;
use crate::model::config::{Architecture, ModelConfig, RopeScaling};
use crate::model::error::ModelError;
use crate::model::source::{TensorSource, check_shape};
use crate::model::weight_file::WeightFile;

/// Frequency factors of Llama 3's stretched rope: the files keep them as a tensor in place of the four numbers.
const ROPE_FACTORS: &str = "rope_freqs.weight";

/// An open GGUF file.
#[derive(Debug)]
pub struct GgufSource {
    file: WeightFile,
    header: Header,
    config: ModelConfig,
}

impl GgufSource {
    /// Opens `path` and checks its header.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = WeightFile::open(path)?;
        let header = Header::read(BufReader::new(file.file()), file.length())
            .map_err(|reason| ModelError::damaged(path, reason))?;
        let origin = path.display().to_string();
        let config = ModelConfig::from_json(to_json(&header, &origin)?, &origin)?;
        let mut source = Self { file, header, config };
        if source.header.tensors.contains_key(ROPE_FACTORS) {
            source.config.rope.scaling = Some(source.llama3_scaling()?);
        }
        Ok(source)
    }

    /// The shape of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Metadata and table of tensors.
    pub fn header(&self) -> &Header {
        &self.header
    }

    fn origin(&self) -> String {
        self.file.path().display().to_string()
    }

    fn stored(&self, name: &str) -> Option<(String, &TensorInfo)> {
        let stored = names::stored(name, self.config.post_norms)?;
        let info = self.header.tensors.get(&stored)?;
        Some((stored, info))
    }

    fn read(&self, stored: &str, info: &TensorInfo) -> Result<Tensor, ModelError> {
        let bytes = self.file.bytes(info.offset, info.bytes, stored)?;
        let raw = |kind| Tensor::f_from_data_size(&bytes, &info.shape, kind);
        let tensor = match info.format {
            Format::F32 => raw(Kind::Float),
            Format::F16 => raw(Kind::Half),
            Format::BF16 => raw(Kind::BFloat16),
            quantised => {
                Tensor::f_from_slice(&quantised.decode(&bytes)).and_then(|flat| flat.f_reshape(&info.shape[..]))
            }
        };
        tensor.map_err(|error| ModelError::torch(format!("copying tensor `{stored}` of `{}`", self.origin()), &error))
    }

    /// The numbers behind the frequency factors: only Llama 3's own are known, and they are checked one by one.
    fn llama3_scaling(&self) -> Result<RopeScaling, ModelError> {
        let fault = |reason: &str| ModelError::Config { origin: self.origin(), reason: reason.to_owned() };
        let info = &self.header.tensors[ROPE_FACTORS];
        let stored: Vec<f32> = Vec::try_from(self.read(ROPE_FACTORS, info)?.to_kind(Kind::Float).view(-1))
            .map_err(|error| ModelError::torch("reading rope factors", &error))?;
        let factor = f64::from(stored.iter().copied().fold(1.0, f32::max));
        let (low_freq_factor, high_freq_factor, original_context) = (1.0, 4.0, 8192.0);
        let scaling = RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_context };
        let expected = self.config.rope_factors(scaling);
        let same = expected.len() == stored.len()
            && expected.iter().zip(&stored).all(|(a, b)| (a - f64::from(*b)).abs() <= 1e-3 * a);
        if same { Ok(scaling) } else { Err(fault("its rope factors are not those of Llama 3, which is not supported")) }
    }

    /// Query and key rows of Llama files alternate between the halves that Hugging Face keeps apart.
    fn unpermuted(&self, name: &str, tensor: Tensor) -> Tensor {
        let heads = match name.rsplit('.').nth(1) {
            _ if self.config.architecture != Architecture::Llama => return tensor,
            Some("q_proj") => self.config.heads,
            Some("k_proj") => self.config.kv_heads,
            _ => return tensor,
        };
        let shape = tensor.size();
        let half = self.config.head_dim as i64 / 2;
        tensor.reshape([heads as i64, half, 2, -1]).transpose(1, 2).reshape(shape)
    }
}

impl TensorSource for GgufSource {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let (stored, info) = self.stored(name).ok_or_else(|| ModelError::MissingTensor {
            origin: self.origin(),
            tensor: names::stored(name, self.config.post_norms).unwrap_or_else(|| name.to_owned()),
        })?;
        check_shape(&self.origin(), &stored, &info.shape, shape)?;
        let tensor = self.unpermuted(name, self.read(&stored, info)?);
        // Converters add the one that the family leaves out of its norm weights.
        Ok(if self.config.offset_norm && name.ends_with("norm.weight") { tensor - 1.0 } else { tensor })
    }

    fn has(&self, name: &str) -> bool {
        self.stored(name).is_some()
    }
}
