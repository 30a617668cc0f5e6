//! Attention inside each of several sequences whose rows lie one after another: what a training pass over a pack runs.

use std::ffi::{c_double, c_int};

use tch::Tensor;

use crate::error::{Error, Handle, Result, handle, optional, take};

unsafe extern "C" {
    fn marft_packed_attention(
        q: Handle,
        k: Handle,
        v: Handle,
        lengths: *const i64,
        masks: *const Handle,
        count: usize,
        scale: c_double,
        out: *mut Handle,
    ) -> c_int;
}

/// Attention of `q` \[n, heads, d\] to `k` and `v` \[n, kv_heads, d\] inside sequences of the given lengths, which add up
/// to n: \[n, heads, d\]. Queries are grouped: each of `kv_heads` serves `heads / kv_heads` neighbours.
///
/// `masks` has one entry per sequence: `None` is causal, otherwise \[t, t\] in the kind of `q`, added to the scaled scores.
pub fn packed_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    lengths: &[i64],
    masks: &[Option<Tensor>],
    scale: f64,
) -> Result<Tensor> {
    if masks.len() != lengths.len() {
        let message = format!("{} masks for {} sequences", masks.len(), lengths.len());
        return Err(Error { operation: "packed_attention", message });
    }
    let masks: Vec<Handle> = masks.iter().map(|mask| optional(mask.as_ref())).collect();
    let [out] = take("packed_attention", |out| {
        // SAFETY: live handles or null, and two arrays of `count`; the entry checks shapes and the sum of the lengths, and
        // fills the one slot on success.
        unsafe {
            marft_packed_attention(
                handle(q),
                handle(k),
                handle(v),
                lengths.as_ptr(),
                masks.as_ptr(),
                lengths.len(),
                scale,
                out.as_mut_ptr(),
            )
        }
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const F32: (Kind, Device) = (Kind::Float, Device::Cpu);

    /// Scores, softmax and sum of one sequence, with keys repeated for their queries.
    fn plain(q: &Tensor, k: &Tensor, v: &Tensor, mask: &Tensor, scale: f64) -> Tensor {
        let share = q.size()[1] / k.size()[1];
        let wide = |t: &Tensor| t.repeat_interleave_self_int(share, 1, None).transpose(0, 1);
        let scores = q.transpose(0, 1).matmul(&wide(k).transpose(1, 2)) * scale + mask;
        scores.softmax(-1, Kind::Float).matmul(&wide(v)).transpose(0, 1)
    }

    fn causal(length: i64) -> Tensor {
        Tensor::full([length, length], f64::NEG_INFINITY, F32).triu(1)
    }

    #[test]
    fn equals_plain_arithmetic_with_gradients() {
        let lengths = [5i64, 1, 40];
        let leaf = |heads: i64| Tensor::randn([46, heads, 8], F32).set_requires_grad(true);
        let (q, k, v) = (leaf(6), leaf(2), leaf(2));
        // The last sequence sees three tokens back only.
        let window = causal(40) + Tensor::full([40, 40], f64::NEG_INFINITY, F32).tril(-4);
        let masks = [None, None, Some(window.shallow_clone())];
        let fused = packed_attention(&q, &k, &v, &lengths, &masks, 0.3).unwrap();
        let mut parts = Vec::new();
        let mut first = 0;
        for (length, mask) in lengths.iter().zip([causal(5), causal(1), window]) {
            let part = |t: &Tensor| t.narrow(0, first, *length);
            parts.push(plain(&part(&q), &part(&k), &part(&v), &mask, 0.3));
            first += length;
        }
        let reference = Tensor::cat(&parts, 0);
        assert!(fused.allclose(&reference, 1e-4, 1e-5, false));
        let direction = Tensor::randn([46, 6, 8], F32);
        let grads =
            |out: &Tensor| Tensor::run_backward(&[(out * &direction).sum(Kind::Float)], &[&q, &k, &v], false, false);
        for (left, right) in grads(&fused).iter().zip(grads(&reference)) {
            assert!(left.allclose(&right, 1e-4, 1e-4, false));
        }
    }

    #[test]
    fn a_sequence_does_not_feel_its_neighbours() {
        let of = |heads: i64| Tensor::randn([30, heads, 8], F32);
        let (q, k, v) = (of(4), of(2), of(2));
        let all = packed_attention(&q, &k, &v, &[10, 20], &[None, None], 0.3).unwrap();
        let part = |t: &Tensor| t.narrow(0, 10, 20);
        let alone = packed_attention(&part(&q), &part(&k), &part(&v), &[20], &[None], 0.3).unwrap();
        assert!(part(&all).equal(&alone));
    }

    #[test]
    fn misfits_are_refused() {
        let of = |rows: i64, heads: i64| Tensor::randn([rows, heads, 4], F32);
        let attend = |lengths: &[i64], masks: &[Option<Tensor>]| {
            packed_attention(&of(6, 4), &of(6, 2), &of(6, 2), lengths, masks, 1.0)
        };
        assert!(attend(&[3, 2], &[None, None]).is_err());
        assert!(attend(&[6], &[]).is_err());
        assert!(attend(&[6, 0], &[None, None]).is_err());
        assert!(attend(&[6], &[Some(causal(5))]).is_err());
        assert!(packed_attention(&of(6, 3), &of(6, 2), &of(6, 2), &[6], &[None], 1.0).is_err());
    }
}
