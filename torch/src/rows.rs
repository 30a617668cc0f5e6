//! Row-wise parts of a transformer, one pass over memory each: RMS norm, gated activation, rotation of heads.
//!
//! All take f32 or bf16, compute in f32, record a gradient only where one is asked for, and treat rows alone. Devices
//! other than the CPU run a few plain operations instead.

use std::ffi::{c_double, c_int};
use std::ptr::null_mut;

use tch::Tensor;

use crate::error::{Handle, Result, check, handle, optional, take};

unsafe extern "C" {
    fn marft_rms_norm(
        x: Handle,
        delta: Handle,
        weight: Handle,
        eps: c_double,
        out: *mut Handle,
        sum: *mut Handle,
    ) -> c_int;
    fn marft_gated(gate_up: Handle, gelu: c_int, out: *mut Handle) -> c_int;
    fn marft_split_rotate(
        heads: Handle,
        cos: Handle,
        sin: Handle,
        queries: i64,
        keys: i64,
        q: *mut Handle,
        k: *mut Handle,
        v: *mut Handle,
    ) -> c_int;
    fn marft_rotate_(heads: Handle, cos: Handle, sin: Handle) -> c_int;
}

/// `x / rms(x) · weight` over the last dimension, in the kind of `x`.
///
/// `weight` is f32, \[h\]; or \[k, h\] for `x` of \[n, k, h\], where each of k heads has its own.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let [out] = take("rms_norm", |out| {
        // SAFETY: live handles; the entry checks them, and fills the one slot on success. It reads no null `delta`.
        unsafe { marft_rms_norm(handle(x), null_mut(), handle(weight), eps, out.as_mut_ptr(), null_mut()) }
    })?;
    Ok(out)
}

/// `(sum, rms_norm(sum))` of `sum = x + delta`: a residual sum and the norm after it.
pub fn add_rms_norm(x: &Tensor, delta: &Tensor, weight: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let [sum, out] = take("add_rms_norm", |[sum, out]| {
        // SAFETY: live handles, checked by the entry; both slots are filled on success.
        unsafe { marft_rms_norm(handle(x), handle(delta), handle(weight), eps, out, sum) }
    })?;
    Ok((sum, out))
}

/// What a gate goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// `x · sigmoid(x)`.
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
}

/// `act(gate) · up` of rows `[gate | up]`: \[n, 2f\] → \[n, f\].
pub fn gated(gate_up: &Tensor, gate: Gate) -> Result<Tensor> {
    let gelu = c_int::from(gate == Gate::GeluTanh);
    // SAFETY: a live handle, checked by the entry; the one slot is filled on success.
    let [out] = take("gated", |out| unsafe { marft_gated(handle(gate_up), gelu, out.as_mut_ptr()) })?;
    Ok(out)
}

/// Splits heads \[n, queries + keys + values, d\] into rotated queries, rotated keys, and values as they are; each dense.
///
/// `cos` and `sin` are f32 \[n, d/2\]; element i of a head is rotated against element i + d/2. There may be no values.
pub fn split_rotate(
    heads: &Tensor,
    cos: &Tensor,
    sin: &Tensor,
    queries: i64,
    keys: i64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let [q, k, v] = take("split_rotate", |[q, k, v]| {
        // SAFETY: live handles, checked by the entry; all three slots are filled on success.
        unsafe { marft_split_rotate(handle(heads), handle(cos), handle(sin), queries, keys, q, k, v) }
    })?;
    Ok((q, k, v))
}

/// Rotates heads \[n, k, d\] in place, without a gradient. `heads` may be a view of rows with other columns.
pub fn rotate_(heads: &mut Tensor, cos: &Tensor, sin: &Tensor) -> Result<()> {
    // SAFETY: live handles; shapes, kinds and density are checked by the entry before it writes.
    check(unsafe { marft_rotate_(optional(Some(heads)), handle(cos), handle(sin)) }, "rotate_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GradMode;
    use tch::{Device, Kind};

    const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Largest difference of outputs and of input gradients between two ways to compute the same.
    fn distance(inputs: &[Tensor], one: impl Fn(&[Tensor]) -> Tensor, other: impl Fn(&[Tensor]) -> Tensor) -> f64 {
        let run = |f: &dyn Fn(&[Tensor]) -> Tensor| {
            let leaves: Vec<_> = inputs.iter().map(|t| t.detach().copy().set_requires_grad(true)).collect();
            let out = f(&leaves);
            // Any direction will do, but it must be the same for both.
            let direction = Tensor::arange(out.numel() as i64, F32).sin().view_as(&out).to_kind(out.kind());
            let loss = (&out * direction).sum(Kind::Float);
            let mut results = Tensor::run_backward(&[&loss], &leaves, false, false);
            results.push(out.detach());
            results
        };
        let (left, right) = (run(&one), run(&other));
        let gap = |(a, b): (&Tensor, &Tensor)| (a.to_kind(Kind::Double) - b.to_kind(Kind::Double)).abs().max();
        left.iter().zip(&right).map(|pair| gap(pair).double_value(&[])).fold(0.0, f64::max)
    }

    fn plain_norm(x: &Tensor, weight: &Tensor) -> Tensor {
        let wide = x.to_kind(Kind::Float);
        (&wide * (wide.square().mean_dim(-1, true, Kind::Float) + 1e-5).rsqrt() * weight).to_kind(x.kind())
    }

    #[test]
    fn norm_equals_plain_arithmetic_with_gradients() {
        for width in [5, 16, 40] {
            let (x, w) = (Tensor::randn([7, width], F32), Tensor::randn([width], F32));
            let gap = distance(&[x, w], |t| rms_norm(&t[0], &t[1], 1e-5).unwrap(), |t| plain_norm(&t[0], &t[1]));
            assert!(gap < 1e-5, "{width}: {gap}");
        }
        let (x, w) = (Tensor::randn([7, 3, 8], F32), Tensor::randn([3, 8], F32));
        let gap = distance(&[x, w], |t| rms_norm(&t[0], &t[1], 1e-5).unwrap(), |t| plain_norm(&t[0], &t[1]));
        assert!(gap < 1e-5, "per head: {gap}");
    }

    #[test]
    fn residual_norm_passes_both_gradients() {
        let inputs = [Tensor::randn([6, 20], F32), Tensor::randn([6, 20], F32), Tensor::randn([20], F32)];
        let fused = |t: &[Tensor]| {
            let (sum, out) = add_rms_norm(&t[0], &t[1], &t[2], 1e-5).unwrap();
            sum * 0.5 + out
        };
        let plain = |t: &[Tensor]| {
            let sum = &t[0] + &t[1];
            &sum * 0.5 + plain_norm(&sum, &t[2])
        };
        assert!(distance(&inputs, fused, plain) < 1e-5);
    }

    #[test]
    fn gates_equal_plain_arithmetic_with_gradients() {
        for width in [3, 16, 24] {
            let inputs = [Tensor::randn([9, 2 * width], F32) * 4.0];
            let halves = |t: &Tensor| (t.narrow(1, 0, width), t.narrow(1, width, width));
            let silu = |t: &[Tensor]| halves(&t[0]).0.silu() * halves(&t[0]).1;
            let gelu = |t: &[Tensor]| halves(&t[0]).0.gelu("tanh") * halves(&t[0]).1;
            assert!(distance(&inputs, |t| gated(&t[0], Gate::Silu).unwrap(), silu) < 2e-5);
            assert!(distance(&inputs, |t| gated(&t[0], Gate::GeluTanh).unwrap(), gelu) < 2e-5);
        }
    }

    fn plain_rotation(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Tensor {
        let parts = x.chunk(2, -1);
        let (c, s) = (cos.unsqueeze(1), sin.unsqueeze(1));
        Tensor::cat(&[&parts[0] * &c - &parts[1] * &s, &parts[1] * &c + &parts[0] * &s], -1)
    }

    #[test]
    fn rotation_equals_plain_arithmetic_with_gradients() {
        for d in [4, 32] {
            let angle = Tensor::randn([5, d / 2], F32);
            let (cos, sin) = (angle.cos(), angle.sin());
            let inputs = [Tensor::randn([5, 6, d], F32)];
            let fused = |t: &[Tensor]| {
                let (q, k, v) = split_rotate(&t[0], &cos, &sin, 3, 2).unwrap();
                Tensor::cat(&[q, k, v], 1)
            };
            let plain = |t: &[Tensor]| {
                let turned = plain_rotation(&t[0].narrow(1, 0, 5), &cos, &sin);
                Tensor::cat(&[turned, t[0].narrow(1, 5, 1)], 1)
            };
            assert!(distance(&inputs, fused, plain) < 1e-5);

            let _off = GradMode::off();
            let whole = inputs[0].copy();
            rotate_(&mut whole.narrow(1, 0, 5), &cos, &sin).unwrap();
            assert!(whole.allclose(&plain(&inputs), 1e-5, 1e-6, false));
        }
    }

    #[test]
    fn bf16_is_the_f32_result_rounded() {
        let x = Tensor::randn([4, 64], F32).to_kind(Kind::BFloat16);
        let weight = Tensor::randn([64], F32);
        let wide = x.to_kind(Kind::Float);
        let rounded = |t: Tensor| t.to_kind(Kind::BFloat16);
        assert!(rms_norm(&x, &weight, 1e-5).unwrap().equal(&rounded(rms_norm(&wide, &weight, 1e-5).unwrap())));
        assert!(gated(&x, Gate::Silu).unwrap().equal(&rounded(gated(&wide, Gate::Silu).unwrap())));
    }

    #[test]
    fn a_row_does_not_feel_its_neighbours_and_a_nan_stays() {
        let x = Tensor::randn([64, 48], F32);
        let weight = Tensor::ones([48], F32);
        let all = rms_norm(&x, &weight, 1e-5).unwrap();
        assert!(rms_norm(&x.narrow(0, 17, 1), &weight, 1e-5).unwrap().equal(&all.narrow(0, 17, 1)));
        let broken = x.to_kind(Kind::BFloat16);
        let _ = broken.narrow(0, 3, 1).narrow(1, 5, 1).fill_(f64::NAN);
        let sick = gated(&broken, Gate::Silu).unwrap().isnan().sum(Kind::Int64).int64_value(&[]);
        assert_eq!(sick, 1);
        let _ = broken.set_requires_grad(false);
    }

    #[test]
    fn misfits_are_refused() {
        let x = Tensor::randn([4, 6], F32);
        assert!(rms_norm(&x, &Tensor::ones([5], F32), 1e-5).is_err());
        assert!(rms_norm(&x, &Tensor::ones([6], (Kind::BFloat16, Device::Cpu)), 1e-5).is_err());
        assert!(gated(&Tensor::randn([4, 5], F32), Gate::Silu).is_err());
        assert!(split_rotate(&Tensor::randn([4, 2, 6], F32), &x, &x, 1, 1).is_err());
    }
}
