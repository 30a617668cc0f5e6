//! AdamW over whole lists of tensors in one kernel, with the state in the caller's hands so that it can be saved.

use std::ffi::{c_double, c_int};

use tch::Tensor;

use crate::error::{Error, Handle, Result, check, handle, handles, take};

unsafe extern "C" {
    fn marft_fused_adamw(
        params: *const Handle,
        grads: *const Handle,
        first: *const Handle,
        second: *const Handle,
        steps: *const Handle,
        count: usize,
        lr: c_double,
        beta1: c_double,
        beta2: c_double,
        weight_decay: c_double,
        eps: c_double,
    ) -> c_int;
    fn marft_global_norm(tensors: *const Handle, count: usize, norm: *mut Handle) -> c_int;
    fn marft_scale_all(tensors: *const Handle, count: usize, factor: Handle) -> c_int;
}

/// Coefficients of a step of AdamW (Loshchilov and Hutter, arXiv:1711.05101).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWOptions {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
}

/// Writes one step of AdamW into `params`, `first` and `second` (moments), and counts it in `steps`.
///
/// All five lists have one entry per parameter; `steps` are scalar f32 tensors. The rest share kind and device.
pub fn fused_adamw(
    params: &[Tensor],
    grads: &[Tensor],
    first: &[Tensor],
    second: &[Tensor],
    steps: &[Tensor],
    options: AdamWOptions,
) -> Result<()> {
    let count = params.len();
    if [grads, first, second, steps].iter().any(|list| list.len() != count) {
        let message = format!("{count} parameters need as many gradients, moments and steps");
        return Err(Error { operation: "fused_adamw", message });
    }
    for (param, others) in params.iter().zip(grads.iter().zip(first).zip(second).map(|((g, m), v)| [g, m, v])) {
        if others.iter().any(|tensor| tensor.size() != param.size() || tensor.kind() != param.kind()) {
            let message = format!("a gradient or moment does not match a parameter of shape {:?}", param.size());
            return Err(Error { operation: "fused_adamw", message });
        }
    }
    if count == 0 {
        return Ok(());
    }
    let [p, g, m, v, t] = [params, grads, first, second, steps].map(handles);
    let AdamWOptions { lr, beta1, beta2, weight_decay, eps } = options;
    // SAFETY: five arrays of `count` live handles each, of matching shapes and kinds.
    let status = unsafe {
        marft_fused_adamw(
            p.as_ptr(),
            g.as_ptr(),
            m.as_ptr(),
            v.as_ptr(),
            t.as_ptr(),
            count,
            lr,
            beta1,
            beta2,
            weight_decay,
            eps,
        )
    };
    check(status, "fused_adamw")
}

/// The L2 norm of all tensors taken as one vector, as a scalar f32 tensor that stays on their device. Empty lists fail.
pub fn global_norm(tensors: &[Tensor]) -> Result<Tensor> {
    let list = handles(tensors);
    // SAFETY: an array of `len` live handles; the one slot is filled on success.
    let [norm] = take("global_norm", |out| unsafe { marft_global_norm(list.as_ptr(), list.len(), out.as_mut_ptr()) })?;
    Ok(norm)
}

/// Multiplies every tensor in place by the scalar tensor `factor`.
pub fn scale_all(tensors: &[Tensor], factor: &Tensor) -> Result<()> {
    if tensors.is_empty() {
        return Ok(());
    }
    let list = handles(tensors);
    // SAFETY: an array of `len` live handles, and one more.
    check(unsafe { marft_scale_all(list.as_ptr(), list.len(), handle(factor)) }, "scale_all")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const OPTIONS: AdamWOptions = AdamWOptions { lr: 0.1, beta1: 0.9, beta2: 0.999, weight_decay: 0.01, eps: 1e-8 };

    fn close(left: &Tensor, right: &Tensor) -> bool {
        left.allclose(right, 1e-5, 1e-7, false)
    }

    #[test]
    fn three_steps_match_the_formula() {
        let on = (Kind::Float, Device::Cpu);
        let shapes = [vec![7i64], vec![3, 5]];
        let params: Vec<_> = shapes.iter().map(|s| Tensor::randn(s.as_slice(), on)).collect();
        let zeros = || shapes.iter().map(|s| Tensor::zeros(s.as_slice(), on)).collect::<Vec<_>>();
        let (first, second) = (zeros(), zeros());
        let steps: Vec<_> = shapes.iter().map(|_| Tensor::zeros([] as [i64; 0], on)).collect();
        let mut plain: Vec<_> = params.iter().map(|p| (p.copy(), p.zeros_like(), p.zeros_like())).collect();
        for step in 1..=3 {
            let grads: Vec<_> = params.iter().map(|p| p.randn_like() * f64::from(step)).collect();
            fused_adamw(&params, &grads, &first, &second, &steps, OPTIONS).unwrap();
            for ((p, m, v), g) in plain.iter_mut().zip(&grads) {
                *m = &*m * 0.9 + g * 0.1;
                *v = &*v * 0.999 + g * g * 0.001;
                let (m_hat, v_hat) = (&*m / (1.0 - 0.9f64.powi(step)), &*v / (1.0 - 0.999f64.powi(step)));
                *p = &*p * (1.0 - 0.1 * 0.01) - m_hat / (v_hat.sqrt() + 1e-8) * 0.1;
            }
        }
        for (i, (p, m, v)) in plain.iter().enumerate() {
            assert!(close(p, &params[i]) && close(m, &first[i]) && close(v, &second[i]));
            assert_eq!(steps[i].double_value(&[]), 3.0);
        }
    }

    #[test]
    fn mismatched_lists_are_refused() {
        let one = [Tensor::zeros([2], (Kind::Float, Device::Cpu))];
        let other = [Tensor::zeros([3], (Kind::Float, Device::Cpu))];
        assert!(fused_adamw(&one, &[], &one, &one, &one, OPTIONS).is_err());
        assert!(fused_adamw(&one, &other, &one, &one, &one, OPTIONS).is_err());
    }

    #[test]
    fn norm_and_scale_take_the_list_as_one_vector() {
        let list = [Tensor::from_slice(&[3.0f32]), Tensor::from_slice(&[0.0f32, 4.0])];
        assert_eq!(global_norm(&list).unwrap().double_value(&[]), 5.0);
        scale_all(&list, &Tensor::from(0.5f32)).unwrap();
        assert_eq!(Vec::<f32>::try_from(&list[1]).unwrap(), [0.0, 2.0]);
        assert!(global_norm(&[]).is_err());
    }
}
