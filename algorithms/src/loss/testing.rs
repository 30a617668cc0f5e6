//! Helpers of the unit tests of losses.

use tch::Tensor;

/// A leaf with gradient, f64.
pub(crate) fn variable(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).set_requires_grad(true)
}

/// The gradient of `loss` by `leaf`.
pub(crate) fn gradient(loss: &Tensor, leaf: &Tensor) -> Vec<f64> {
    let gradients = Tensor::run_backward(&[loss], &[leaf], true, false);
    Vec::try_from(gradients[0].to_kind(tch::Kind::Double).flatten(0, -1)).unwrap()
}

/// Element by element, absolute or relative, whichever is looser.
#[track_caller]
pub(crate) fn assert_close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() <= tolerance * want.abs().max(1.0), "entry {index}: {got}, expected {want}");
    }
}
