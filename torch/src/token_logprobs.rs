//! Log-probabilities and entropies straight from hidden rows and the output head, a chunk of rows at a time.
//!
//! Logits of all rows together would be the largest tensor of a training step by far (one row of a 49,152-token vocabulary
//! takes 192 KiB in f32). Here they exist for a chunk of rows, in the compute type; the backward pass makes them again.

use std::ffi::{c_double, c_int};

use tch::Tensor;

use crate::error::{Handle, Result, handle, take};
use crate::lora_linear::{LoraSegment, RawSegment, raw};

unsafe extern "C" {
    fn marft_token_logprobs(
        hidden: Handle,
        weight: Handle,
        targets: Handle,
        segments: *const RawSegment,
        count: usize,
        inverse_temperature: c_double,
        chunk: i64,
        logp: *mut Handle,
        entropy: *mut Handle,
    ) -> c_int;
}

/// Rows of logits that exist at a time. A head product of about this size runs best per row, and 256 rows of a
/// 49,152-token vocabulary in bf16 are 24 MiB.
pub const CHUNK_ROWS: i64 = 256;

/// `(log p(target), entropy)`, both f32 \[n\] and in nats, of `softmax(hidden · weightᵀ / temperature)` per row.
///
/// `hidden` is \[n, h\], `weight` \[vocab, h\] of the same kind, `targets` i64 \[n\]; `segments` are adapters of the head.
/// Both results carry a gradient to `hidden`, to the masters of the adapters and, if it asks for one, to the weight.
pub fn token_logprobs(
    hidden: &Tensor,
    weight: &Tensor,
    targets: &Tensor,
    segments: &[LoraSegment<'_>],
    temperature: f64,
    chunk: i64,
) -> Result<(Tensor, Tensor)> {
    let raw = raw(segments);
    let [logp, entropy] = take("token_logprobs", |[logp, entropy]| {
        // SAFETY: live handles; `raw` holds live handles and slices for the duration of the call. The entry checks shapes
        // and that every target lies in the vocabulary, and fills both slots on success.
        unsafe {
            marft_token_logprobs(
                handle(hidden),
                handle(weight),
                handle(targets),
                raw.as_ptr(),
                raw.len(),
                1.0 / temperature,
                chunk,
                logp,
                entropy,
            )
        }
    })?;
    Ok((logp, entropy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

    fn plain(logits: &Tensor, targets: &Tensor, temperature: f64) -> (Tensor, Tensor) {
        let log_p = (logits / temperature).log_softmax(-1, Kind::Float);
        let entropy = -(log_p.exp() * &log_p).sum_dim_intlist(-1, false, Kind::Float);
        (log_p.gather(1, &targets.unsqueeze(1), false).squeeze_dim(1), entropy)
    }

    #[test]
    fn equals_plain_arithmetic_with_gradients_for_any_chunk() {
        for (vocab, chunk, temperature) in [(7, 3, 1.0), (40, 64, 0.7), (33, 1, 1.3)] {
            let hidden = Tensor::randn([11, 6], F32).set_requires_grad(true);
            let weight = Tensor::randn([vocab, 6], F32).set_requires_grad(true);
            let targets = Tensor::randint(vocab, [11], (Kind::Int64, Device::Cpu));
            let direction = Tensor::randn([2, 11], F32);
            let run = |(logp, entropy): (Tensor, Tensor)| {
                let loss = (Tensor::stack(&[&logp, &entropy], 0) * &direction).sum(Kind::Float);
                let mut all = Tensor::run_backward(&[loss], &[&hidden, &weight], false, false);
                all.extend([logp.detach(), entropy.detach()]);
                all
            };
            let fused = run(token_logprobs(&hidden, &weight, &targets, &[], temperature, chunk).unwrap());
            let reference = run(plain(&hidden.matmul(&weight.tr()), &targets, temperature));
            for (left, right) in fused.iter().zip(&reference) {
                assert!(left.allclose(right, 1e-4, 1e-5, false), "{vocab} {chunk} {temperature}");
            }
        }
    }

    #[test]
    fn adapters_of_the_head_get_their_gradients() {
        let hidden = Tensor::randn([10, 6], F32).set_requires_grad(true);
        let weight = Tensor::randn([20, 6], F32);
        let a = Tensor::randn([2, 6], F32).set_requires_grad(true);
        let b = Tensor::randn([20, 2], F32).set_requires_grad(true);
        let targets = Tensor::randint(20, [10], (Kind::Int64, Device::Cpu));
        let (a_copy, b_copy) = (a.detach(), b.detach() * 2.0);
        let segment = LoraSegment {
            start: 3,
            length: 6,
            a: &a,
            b: &b,
            a_copy: &a_copy,
            b_copy: &b_copy,
            scale: 2.0,
            rank: 2,
            blocks: &[[0, 20]],
        };
        let low = hidden.narrow(0, 3, 6).matmul(&a.tr()).matmul(&b.tr()) * 2.0;
        let logits = hidden.matmul(&weight.tr()) + low.constant_pad_nd([0, 0, 3, 1]);
        let run = |(logp, entropy): (Tensor, Tensor)| {
            let loss = logp.sum(Kind::Float) + entropy.square().sum(Kind::Float);
            Tensor::run_backward(&[loss], &[&hidden, &a, &b], false, false)
        };
        let fused = run(token_logprobs(&hidden, &weight, &targets, &[segment], 1.0, 4).unwrap());
        for (left, right) in fused.iter().zip(run(plain(&logits, &targets, 1.0))) {
            assert!(left.allclose(&right, 1e-4, 1e-4, false));
        }
    }

    #[test]
    fn impossible_tokens_do_not_poison_the_entropy() {
        // Logits 1000 apart: every other probability is exactly zero.
        let hidden = Tensor::from_slice(&[1000.0f32]).view([1, 1]).set_requires_grad(true);
        let weight = Tensor::from_slice(&[1.0f32, 0.0, -1.0]).view([3, 1]);
        let targets = Tensor::from_slice(&[0i64]);
        let (logp, entropy) = token_logprobs(&hidden, &weight, &targets, &[], 1.0, 8).unwrap();
        assert_eq!((logp.double_value(&[0]), entropy.double_value(&[0])), (0.0, 0.0));
        let grad = Tensor::run_backward(&[entropy + logp], &[&hidden], false, false);
        assert_eq!(grad[0].double_value(&[0, 0]), 0.0);
    }

    #[test]
    fn targets_outside_the_vocabulary_are_refused() {
        let (hidden, weight) = (Tensor::randn([2, 4], F32), Tensor::randn([5, 4], F32));
        for bad in [[0i64, 5], [-1, 0]] {
            let error = token_logprobs(&hidden, &weight, &Tensor::from_slice(&bad), &[], 1.0, 8).unwrap_err();
            assert!(error.message.contains("vocabulary"), "{error}");
        }
    }
}
