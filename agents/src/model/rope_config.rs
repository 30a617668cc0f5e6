//! The rope's parameters in `config.json`, in their older and newer places.

use serde_json::Value;

use super::config::{RopeConfig, RopeScaling};
use super::hf_config::HfConfig;

/// The rope of layers of type `layers`; `theta` where the file states none.
pub(crate) fn read(hf: &HfConfig, layers: &str, theta: f64) -> Result<RopeConfig, String> {
    let parameters = hf.rope_parameters.as_ref().map(|parameters| parameters.get(layers).unwrap_or(parameters));
    let sliding = layers == "sliding_attention";
    let old = hf.rope_scaling.as_ref().filter(|scaling| !scaling.is_null() && !sliding);
    let Some(parameters) = parameters.filter(|parameters| !parameters.is_null()).or(old) else {
        return Ok(RopeConfig { theta, scaling: None });
    };
    let number = |key: &str| match parameters.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            value.as_f64().map(Some).ok_or_else(|| format!("rope parameter `{key}` is {value}, not a number"))
        }
    };
    let needed = |key: &str| number(key)?.ok_or_else(|| format!("rope scaling needs `{key}`"));
    if number("partial_rotary_factor")?.is_some_and(|factor| factor != 1.0) {
        return Err("rope parameter `partial_rotary_factor` is not supported".to_owned());
    }
    let kind = parameters.get("rope_type").or_else(|| parameters.get("type"));
    let context = hf.max_position_embeddings.map(|context| context as f64);
    let scaling = match kind.and_then(Value::as_str).unwrap_or("default") {
        "default" => None,
        "linear" => Some(RopeScaling::Linear { factor: needed("factor")? }),
        "llama3" => Some(RopeScaling::Llama3 {
            factor: needed("factor")?,
            low_freq_factor: needed("low_freq_factor")?,
            high_freq_factor: needed("high_freq_factor")?,
            original_context: needed("original_max_position_embeddings")?,
        }),
        "yarn" => {
            let original = number("original_max_position_embeddings")?.or(context);
            let original_context = original.ok_or("rope scaling needs `original_max_position_embeddings`")?;
            let factor = number("factor")?.or(context.map(|context| context / original_context));
            let factor = factor.ok_or("rope scaling needs `factor`")?;
            let attention_factor = match (number("attention_factor")?, number("mscale")?, number("mscale_all_dim")?) {
                (Some(attention_factor), ..) => attention_factor,
                (None, Some(scale), Some(all)) if scale != 0.0 && all != 0.0 => {
                    temperature(factor, scale) / temperature(factor, all)
                }
                _ => temperature(factor, 1.0),
            };
            Some(RopeScaling::Yarn {
                factor,
                beta_fast: number("beta_fast")?.unwrap_or(32.0),
                beta_slow: number("beta_slow")?.unwrap_or(1.0),
                original_context,
                attention_factor,
                truncate: parameters.get("truncate").and_then(Value::as_bool).unwrap_or(true),
            })
        }
        other => return Err(format!("rope type `{other}` is not supported")),
    };
    Ok(RopeConfig { theta: number("rope_theta")?.unwrap_or(theta), scaling })
}

/// YaRN's attention temperature for a context stretched `factor` times.
fn temperature(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}
