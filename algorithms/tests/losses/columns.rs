//! Reading fixtures into columns of either float, and comparing.

use marft_algorithms::loss::Lane;
use serde_json::Value;
use tch::Tensor;

/// A JSON array, of any nesting, as one flat column.
pub(crate) fn flat(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(entries) => entries.iter().flat_map(flat).collect(),
        Value::Bool(true) => vec![1.0],
        Value::Bool(false) => vec![0.0],
        number => vec![number.as_f64().unwrap()],
    }
}

/// A JSON array of booleans or numbers as a mask.
pub(crate) fn mask(value: &Value) -> Vec<bool> {
    flat(value).into_iter().map(|x| x != 0.0).collect()
}

/// A JSON array of counts.
pub(crate) fn counts(value: &Value) -> Vec<usize> {
    flat(value).into_iter().map(|x| x as usize).collect()
}

/// The column in the float `F`.
pub(crate) fn cast<F: Lane>(column: &[f64]) -> Vec<F> {
    column.iter().map(|&x| F::narrow(x)).collect()
}

/// A leaf with gradient in the float `F`.
pub(crate) fn leaf<F: Lane>(column: &[f64]) -> Tensor {
    Tensor::from_slice(column).to_kind(F::KIND).set_requires_grad(true)
}

/// The gradient of `loss` by `leaf`.
pub(crate) fn gradient(loss: &Tensor, leaf: &Tensor) -> Vec<f64> {
    let gradients = Tensor::run_backward(&[loss], &[leaf], true, false);
    Vec::try_from(gradients[0].to_kind(tch::Kind::Double).flatten(0, -1)).unwrap()
}

/// Compares entry by entry, absolute or relative, whichever is looser.
#[track_caller]
pub(crate) fn assert_close(name: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "{name}, entry {index}: {got}, expected {want}");
    }
}
