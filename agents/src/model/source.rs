//! Where weights come from: tensors by their Hugging Face names, whatever the file.

use std::collections::BTreeMap;

use tch::Tensor;

use super::error::ModelError;

/// Named tensors of one model, on the CPU.
///
/// Names and layouts are those of Hugging Face checkpoints; a source in another format translates.
pub trait TensorSource {
    /// The tensor `name`, checked to have `shape`, in whatever type it is stored or decoded to.
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError>;

    /// Whether there is a tensor `name`.
    fn has(&self, name: &str) -> bool;
}

/// Tensors already in memory, for tests and for models built by a program.
impl TensorSource for BTreeMap<String, Tensor> {
    fn tensor(&self, name: &str, shape: &[i64]) -> Result<Tensor, ModelError> {
        let origin = || "memory".to_owned();
        let tensor =
            self.get(name).ok_or_else(|| ModelError::MissingTensor { origin: origin(), tensor: name.to_owned() })?;
        check_shape(&origin(), name, &tensor.size(), shape)?;
        Ok(tensor.shallow_clone())
    }

    fn has(&self, name: &str) -> bool {
        self.contains_key(name)
    }
}

pub(crate) fn check_shape(origin: &str, tensor: &str, found: &[i64], expected: &[i64]) -> Result<(), ModelError> {
    if found == expected {
        return Ok(());
    }
    Err(ModelError::WrongShape {
        origin: origin.to_owned(),
        tensor: tensor.to_owned(),
        found: found.to_vec(),
        expected: expected.to_vec(),
    })
}
