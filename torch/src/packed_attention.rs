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
        seen: *const Handle,
        count: usize,
        window: i64,
        scale: c_double,
        out: *mut Handle,
    ) -> c_int;
    fn marft_masked_attention(
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
/// to n: \[n, heads, d\]. f32 or bf16 on the CPU, computed in f32. Queries are grouped: each of `kv_heads` serves
/// `heads / kv_heads` neighbours.
///
/// `seen` has one entry per sequence: `None` is causal within `window` (the row itself counts), otherwise what
/// [`seen_rows`] made.
pub fn packed_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    lengths: &[i64],
    seen: &[Option<Tensor>],
    window: Option<usize>,
    scale: f64,
) -> Result<Tensor> {
    one_each("packed_attention", lengths, seen)?;
    let seen: Vec<Handle> = seen.iter().map(|seen| optional(seen.as_ref())).collect();
    let (lengths, count) = (lengths.as_ptr(), lengths.len());
    let window = window.and_then(|window| i64::try_from(window).ok()).unwrap_or(i64::MAX / 2);
    let [out] = take("packed_attention", |out| {
        let (q, k, v, out) = (handle(q), handle(k), handle(v), out.as_mut_ptr());
        // SAFETY: live handles or null, and two arrays of `count`; the entry checks shapes, kinds and the sum of the
        // lengths, and fills the one slot on success.
        unsafe { marft_packed_attention(q, k, v, lengths, seen.as_ptr(), count, window, scale, out) }
    })?;
    Ok(out)
}

/// The same by libtorch's own operations, on any device.
///
/// `masks` has one entry per sequence: `None` is causal, otherwise \[t, t\] in the kind of `q`, added to the scaled scores.
pub fn masked_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    lengths: &[i64],
    masks: &[Option<Tensor>],
    scale: f64,
) -> Result<Tensor> {
    one_each("masked_attention", lengths, masks)?;
    let masks: Vec<Handle> = masks.iter().map(|mask| optional(mask.as_ref())).collect();
    let (lengths, count) = (lengths.as_ptr(), lengths.len());
    let [out] = take("masked_attention", |out| {
        let (q, k, v, out) = (handle(q), handle(k), handle(v), out.as_mut_ptr());
        // SAFETY: as above.
        unsafe { marft_masked_attention(q, k, v, lengths, masks.as_ptr(), count, scale, out) }
    })?;
    Ok(out)
}

/// What each of `rows` rows sees, as bits for [`packed_attention`]: `of` names the keys of a row, none after the row
/// itself.
pub fn seen_rows<I: IntoIterator<Item = usize>>(rows: usize, of: impl Fn(usize) -> I) -> Tensor {
    let words = rows.div_ceil(16);
    let mut bits = vec![0u16; rows * words];
    for (row, seen) in bits.chunks_mut(words.max(1)).enumerate() {
        for key in of(row).into_iter().filter(|key| *key <= row) {
            seen[key / 16] |= 1 << (key % 16);
        }
    }
    let bits: Vec<i16> = bits.into_iter().map(u16::cast_signed).collect();
    Tensor::from_slice(&bits).view([rows as i64, words as i64])
}

fn one_each(operation: &'static str, lengths: &[i64], masks: &[Option<Tensor>]) -> Result<()> {
    if masks.len() == lengths.len() {
        return Ok(());
    }
    Err(Error { operation, message: format!("{} masks for {} sequences", masks.len(), lengths.len()) })
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

    /// What the last of three sequences sees: three tokens back, or its ancestors in a tree in which every token hangs on
    /// one of the four before it.
    fn parent(row: usize) -> Option<usize> {
        row.checked_sub(1 + row % 4)
    }

    fn ancestors(row: usize) -> Vec<usize> {
        std::iter::successors(Some(row), |row| parent(*row)).collect()
    }

    fn bias(rows: usize, of: impl Fn(usize) -> Vec<usize>) -> Tensor {
        let mut bias = vec![f32::NEG_INFINITY; rows * rows];
        (0..rows).for_each(|row| of(row).iter().for_each(|key| bias[row * rows + key] = 0.0));
        Tensor::from_slice(&bias).view([rows as i64, rows as i64])
    }

    /// Forward and all gradients against scores, softmax and sums written out, for heads of a width that is not a multiple
    /// of a register's, a single token, more rows than a tile, a window, and a tree.
    #[test]
    fn equals_plain_arithmetic_with_gradients() {
        let lengths = [5i64, 1, 70];
        for (width, kv, window, tree) in
            [(8, 2, None, false), (24, 3, Some(4), false), (64, 1, Some(33), false), (16, 6, None, true)]
        {
            let leaf = |heads: i64| Tensor::randn([76, heads, width], F32).set_requires_grad(true);
            let (q, k, v) = (leaf(6), leaf(kv), leaf(kv));
            let chain = |row: usize| (0..=row).rev().take(window.unwrap_or(usize::MAX)).collect::<Vec<_>>();
            let seen = [None, None, tree.then(|| seen_rows(70, ancestors))];
            let fused = packed_attention(&q, &k, &v, &lengths, &seen, window, 0.3).unwrap();
            let masks = [bias(5, chain), bias(1, chain), if tree { bias(70, ancestors) } else { bias(70, chain) }];
            let mut parts = Vec::new();
            let mut first = 0;
            for (length, mask) in lengths.iter().zip(&masks) {
                let part = |t: &Tensor| t.narrow(0, first, *length);
                parts.push(plain(&part(&q), &part(&k), &part(&v), mask, 0.3));
                first += length;
            }
            let reference = Tensor::cat(&parts, 0);
            let apart = |a: &Tensor, b: &Tensor| (a - b).abs().max().double_value(&[]);
            assert!(apart(&fused, &reference) < 1e-5, "width {width}");
            let direction = Tensor::randn([76, 6, width], F32);
            let grads = |out: &Tensor| {
                Tensor::run_backward(&[(out * &direction).sum(Kind::Float)], &[&q, &k, &v], false, false)
            };
            let scale = direction.abs().max().double_value(&[]);
            for (left, right) in grads(&fused).iter().zip(grads(&reference)) {
                assert!(apart(left, &right) < 1e-5 * scale, "width {width}: {}", apart(left, &right));
            }
            let masked = masked_attention(&q, &k, &v, &lengths, &masks.map(Some), 0.3).unwrap();
            assert!(apart(&masked, &reference) < 1e-5, "width {width}");
        }
    }

    /// bf16 rows give what their values give in f32, rounded once.
    #[test]
    fn half_precision_rounds_once() {
        let of = |heads: i64| Tensor::randn([40, heads, 16], F32).to_kind(Kind::BFloat16);
        let (q, k, v) = (of(4), of(2), of(2));
        let narrow = packed_attention(&q, &k, &v, &[40], &[None], None, 0.25).unwrap();
        let wide = |t: &Tensor| t.to_kind(Kind::Float);
        let want = packed_attention(&wide(&q), &wide(&k), &wide(&v), &[40], &[None], None, 0.25).unwrap();
        assert!(narrow.equal(&want.to_kind(Kind::BFloat16)));
    }

    #[test]
    fn a_sequence_does_not_feel_its_neighbours() {
        let of = |heads: i64| Tensor::randn([30, heads, 8], F32);
        let (q, k, v) = (of(4), of(2), of(2));
        let all = packed_attention(&q, &k, &v, &[10, 20], &[None, None], None, 0.3).unwrap();
        let part = |t: &Tensor| t.narrow(0, 10, 20);
        let alone = packed_attention(&part(&q), &part(&k), &part(&v), &[20], &[None], None, 0.3).unwrap();
        assert!(part(&all).equal(&alone));
    }

    #[test]
    fn misfits_are_refused() {
        let of = |rows: i64, heads: i64| Tensor::randn([rows, heads, 4], F32);
        let attend = |lengths: &[i64], masks: &[Option<Tensor>]| {
            packed_attention(&of(6, 4), &of(6, 2), &of(6, 2), lengths, masks, None, 1.0)
        };
        assert!(attend(&[3, 2], &[None, None]).is_err());
        assert!(attend(&[6], &[]).is_err());
        assert!(attend(&[6, 0], &[None, None]).is_err());
        assert!(attend(&[6], &[Some(seen_rows(5, |row| 0..=row))]).is_err());
        assert!(packed_attention(&of(6, 3), &of(6, 2), &of(6, 2), &[6], &[None], None, 1.0).is_err());
    }
}
