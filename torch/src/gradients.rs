//! Gradients as tch cannot handle them: a backward pass from a given gradient, and dropping what leaves have collected.

use std::ffi::c_int;

use tch::Tensor;

use crate::error::{Handle, Result, check, handle, handles};

unsafe extern "C" {
    fn marft_backward(output: Handle, gradient: Handle) -> c_int;
    fn marft_clear_gradients(leaves: *const Handle, count: usize) -> c_int;
}

/// Collects into the leaves below `output` what `gradient`, of its shape and kind, makes of them.
pub fn backward_from(output: &Tensor, gradient: &Tensor) -> Result<()> {
    // SAFETY: two live handles; libtorch checks that they fit and that `output` has a graph.
    check(unsafe { marft_backward(handle(output), handle(gradient)) }, "backward_from")
}

/// Drops the gradients that `leaves` have collected, and their memory.
pub fn clear_gradients(leaves: &[Tensor]) -> Result<()> {
    let list = handles(leaves);
    // SAFETY: an array of `len` live handles.
    check(unsafe { marft_clear_gradients(list.as_ptr(), list.len()) }, "clear_gradients")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_gradient_flows_to_the_leaves_and_can_be_dropped() {
        let leaf = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
        let output = &leaf * &leaf;
        backward_from(&output, &Tensor::from_slice(&[10.0f32, 0.5])).unwrap();
        assert_eq!(Vec::<f32>::try_from(leaf.grad()).unwrap(), [20.0, 2.0]);
        clear_gradients(&[leaf.shallow_clone()]).unwrap();
        assert!(!leaf.grad().defined());
    }

    #[test]
    fn a_gradient_of_another_shape_is_refused() {
        let leaf = Tensor::from_slice(&[1.0f32, 2.0]).set_requires_grad(true);
        assert!(backward_from(&(&leaf * 2.0), &Tensor::from_slice(&[1.0f32])).is_err());
        assert!(backward_from(&leaf.detach(), &leaf.detach()).is_err(), "no graph");
    }
}
