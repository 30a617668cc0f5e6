//! Adapters on disk in the format of Hugging Face PEFT, so that peft and vLLM read what is trained here, and the reverse.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tch::Kind;

use super::adapter::LoraAdapter;
use super::config::{LoraConfig, Targets};
use super::error::LoraError;
use crate::model::{ModelConfig, Placement, Projection};
use crate::tensor_file::{self, ReadError};

/// Name of the settings in an adapter's folder.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of the weights in an adapter's folder.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// The settings as PEFT writes them. Keys that change what the weights mean are read and refused where they are set to
/// something that is not done here; the rest is kept out.
#[derive(Debug, Serialize, Deserialize)]
struct PeftConfig {
    peft_type: String,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(default)]
    base_model_name_or_path: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    use_rslora: bool,
    target_modules: Option<Value>,
    #[serde(default = "none")]
    bias: String,
    #[serde(default)]
    fan_in_fan_out: bool,
    #[serde(default)]
    inference_mode: bool,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

fn none() -> String {
    "none".to_owned()
}

/// Settings of PEFT that give factors another meaning. Unset, false and empty are harmless.
const REFUSED: [&str; 18] = [
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
    "exclude_modules",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "lora_bias",
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
];

/// Writes an adapter into `folder`. The weights come first and the settings last, each at once, so that a folder with settings
/// is a whole adapter. `base` is what the settings name as the base model.
pub fn save_adapter(adapter: &LoraAdapter, folder: &Path, base: Option<&str>) -> Result<(), LoraError> {
    let mut tensors = Vec::new();
    for (layer, projection, a, b) in adapter.named_factors() {
        tensors.push((tensor_name(layer, projection, 'A'), a));
        tensors.push((tensor_name(layer, projection, 'B'), b));
    }
    let write = |path: &Path, result: std::io::Result<()>| {
        result.map_err(|source| LoraError::File { doing: "write", path: path.to_owned(), source })
    };
    let weights = folder.join(ADAPTER_WEIGHTS);
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write(&weights, tensor_file::write(&weights, &tensors, metadata))?;

    let config = adapter.config();
    // PEFT reads the names of projections more widely than `all-linear`, which needs the model to resolve.
    let names: Vec<_> = config.targets.projections().iter().map(|projection| projection.name()).collect();
    let settings = PeftConfig {
        peft_type: "LORA".to_owned(),
        task_type: Some("CAUSAL_LM".to_owned()),
        base_model_name_or_path: base.map(str::to_owned),
        r: config.rank,
        lora_alpha: config.alpha,
        lora_dropout: config.dropout,
        use_rslora: config.rslora,
        target_modules: Some(names.into()),
        bias: none(),
        fan_in_fan_out: false,
        inference_mode: true,
        rest: BTreeMap::new(),
    };
    let path = folder.join(ADAPTER_CONFIG);
    let text = serde_json::to_string_pretty(&settings)
        .map_err(|error| LoraError::Damaged { path: path.clone(), reason: error.to_string() })?;
    write(&path, tensor_file::replace(&path, text.as_bytes()))
}

/// Reads an adapter of `model` from `folder`.
///
/// Every tensor that the settings ask for must be there with its shape, and none besides.
pub fn load_adapter(folder: &Path, model: &ModelConfig, placement: Placement) -> Result<LoraAdapter, LoraError> {
    let config = load_config(folder)?;
    let path = folder.join(ADAPTER_WEIGHTS);
    let refused = |error: ReadError| match error {
        ReadError::Io(source) => LoraError::File { doing: "read", path: path.clone(), source },
        ReadError::Damaged(reason) => LoraError::Damaged { path: path.clone(), reason },
        ReadError::Format { tensor, dtype } => {
            let reason = format!("is stored as {dtype:?}; f32, f16 and bf16 are read");
            LoraError::BadTensor { path: path.clone(), tensor, reason }
        }
    };
    // A few bytes of settings can ask for gigabytes of factors: the file must have them before any are made.
    let opened = tensor_file::open(&path).map_err(refused)?;
    check_shapes(&path, opened.shapes(), &LoraAdapter::shapes(&config, model))?;
    let mut stored = opened.read().map_err(refused)?.tensors;
    let mut adapter = LoraAdapter::new(&config, model, placement, 0)?;
    let off = marft_torch::GradMode::off();
    for (layer, projection, a, b) in adapter.named_factors() {
        for (factor, mut own) in [('A', a), ('B', b)] {
            let name = tensor_name(layer, projection, factor);
            let Some(tensor) = stored.remove(&name) else {
                return Err(LoraError::MissingTensor { path, tensor: name });
            };
            let wide = tensor.to_kind(Kind::Float);
            if wide.isfinite().all().int64_value(&[]) == 0 {
                return Err(LoraError::BadTensor {
                    path,
                    tensor: name,
                    reason: "holds values that are no numbers".to_owned(),
                });
            }
            own.f_copy_(&wide).map_err(|error| LoraError::torch("placing an adapter", &error))?;
        }
    }
    drop(off);
    adapter.refresh();
    Ok(adapter)
}

/// Refuses a file that has not every factor in its shape, and none besides.
fn check_shapes(
    path: &Path,
    mut found: BTreeMap<String, Vec<usize>>,
    expected: &[(usize, Projection, [usize; 2], [usize; 2])],
) -> Result<(), LoraError> {
    let path = || path.to_owned();
    for &(layer, projection, a, b) in expected {
        for (factor, expected) in [('A', a), ('B', b)] {
            let tensor = tensor_name(layer, projection, factor);
            match found.remove(&tensor) {
                None => return Err(LoraError::MissingTensor { path: path(), tensor }),
                Some(found) if found != expected => {
                    return Err(LoraError::WrongShape { path: path(), tensor, found, expected: expected.to_vec() });
                }
                Some(_) => {}
            }
        }
    }
    match found.into_keys().next() {
        Some(tensor) => Err(LoraError::StrayTensor { path: path(), tensor }),
        None => Ok(()),
    }
}

/// The settings of the adapter in `folder`, read without its weights.
///
/// # Errors
/// The settings cannot be read, or ask for something that is not done here.
pub fn load_config(folder: &Path) -> Result<LoraConfig, LoraError> {
    read_config(&folder.join(ADAPTER_CONFIG))
}

/// The settings of the adapter whose `adapter_config.json` lies at `path`.
fn read_config(path: &Path) -> Result<LoraConfig, LoraError> {
    let text =
        fs::read_to_string(path).map_err(|source| LoraError::File { doing: "read", path: path.to_owned(), source })?;
    let damaged = |reason: String| LoraError::Damaged { path: path.to_owned(), reason };
    let peft: PeftConfig = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
    let refuse = |what: String| Err(LoraError::Unsupported { path: path.to_owned(), what });
    if peft.peft_type != "LORA" {
        return refuse(format!("`peft_type` {}", peft.peft_type));
    }
    if peft.bias != "none" {
        return refuse(format!("`bias` {}", peft.bias));
    }
    if peft.fan_in_fan_out {
        return refuse("`fan_in_fan_out`".to_owned());
    }
    for key in REFUSED {
        if let Some(value) = peft.rest.get(key).filter(|value| !harmless(value)) {
            return refuse(format!("`{key}` {value}"));
        }
    }
    let targets = match peft.target_modules {
        Some(Value::String(name)) => Targets::parse(&[name])?,
        Some(Value::Array(names)) => {
            let name = |value: &Value| value.as_str().map(str::to_owned);
            let names: Option<Vec<_>> = names.iter().map(name).collect();
            Targets::parse(
                &names.ok_or_else(|| damaged("`target_modules` holds something that is no name".to_owned()))?,
            )?
        }
        _ => return Err(damaged("`target_modules` names no modules".to_owned())),
    };
    let config = LoraConfig {
        rank: peft.r,
        alpha: peft.lora_alpha,
        rslora: peft.use_rslora,
        dropout: peft.lora_dropout,
        targets,
    };
    config.check()?;
    Ok(config)
}

fn harmless(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

fn tensor_name(layer: usize, projection: Projection, factor: char) -> String {
    format!("base_model.model.{}.lora_{factor}.weight", projection.path(layer))
}
