//! Losses whose tokens share a number of their sequence, against their formulas written out in f64: on sequences longer than
//! a block of 1,024 tokens, of lengths that are no multiples of a register, without tokens, and out of the loss as a whole.

use marft_algorithms::loss::{Aggregation, Gspo, PolicyBatch, Tis, TisMode, gspo, tis};
use tch::Tensor;

struct Columns {
    new: Vec<f32>,
    old: Vec<f32>,
    advantage: Vec<f32>,
    factor: Vec<f32>,
    in_loss: Vec<bool>,
    lengths: Vec<usize>,
}

/// Sequences of these lengths; every fifth token is masked and holds junk, and so does the whole of the one at `masked`.
fn columns(lengths: &[usize], masked: usize) -> Columns {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let (mut new, mut old, mut advantage, mut factor, mut in_loss) = (vec![], vec![], vec![], vec![], vec![]);
    for (sequence, &length) in lengths.iter().enumerate() {
        let shift = random() * 0.1 / (length.max(1) as f32).sqrt();
        for token in 0..length {
            let keep = token % 5 != 4 && sequence != masked;
            in_loss.push(keep);
            old.push(if keep { random() * 4.0 - 2.0 } else { f32::INFINITY });
            new.push(if keep { old.last().unwrap() + shift + random() * 0.04 } else { f32::NAN });
            advantage.push(if keep { random() } else { f32::NAN });
            factor.push(if keep { 1.0 + random() } else { f32::NEG_INFINITY });
        }
    }
    Columns { new, old, advantage, factor, in_loss, lengths: lengths.to_vec() }
}

/// Ends of a span within, a long last sequence, and a short one at the very end.
const AWKWARD: [&[usize]; 4] = [
    &[0, 1, 15, 16, 17, 0, 500, 1023, 1024, 1025, 2503, 0],
    &[31, 9000, 9000, 7, 3],
    &[20_001],
    &[3, 2, 1, 1, 0, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597],
];

impl Columns {
    /// The indices of each sequence's tokens in the loss.
    fn kept(&self) -> Vec<Vec<usize>> {
        let mut start = 0;
        let kept = |&length: &usize| {
            start += length;
            (start - length..start).filter(|&i| self.in_loss[i]).collect()
        };
        self.lengths.iter().map(kept).collect()
    }
}

#[track_caller]
fn close(got: f64, want: f64, tolerance: f64, what: &str) {
    assert!((got - want).abs() <= tolerance * want.abs().max(1e-3), "{what}: {got}, expected {want}");
}

#[test]
fn gspo_is_its_formula() {
    for (lengths, weighted) in AWKWARD.into_iter().flat_map(|lengths| [(lengths, false), (lengths, true)]) {
        let c = columns(lengths, 6);
        for aggregation in [Aggregation::SeqMeanTokenMean, Aggregation::TokenMean] {
            let config = Gspo { clip_low: 1e-3, clip_high: 2e-3, aggregation };
            let batch = PolicyBatch::new(&c.old, &c.advantage, &c.in_loss, &c.lengths);
            let batch = if weighted { batch.weighted(&c.factor) } else { batch };
            let new = Tensor::from_slice(&c.new).set_requires_grad(true);
            let out = gspo(&new, &batch, &config).unwrap();
            let gradient = Vec::<f32>::try_from(&Tensor::run_backward(&[&out.loss], &[&new], false, false)[0]).unwrap();

            let kept = c.kept();
            let tokens: usize = kept.iter().map(Vec::len).sum();
            let sequences = kept.iter().filter(|kept| !kept.is_empty()).count();
            let (mut value, mut want) = (0.0, vec![0.0; c.new.len()]);
            let (mut ratios, mut k3, mut low, mut high) = (0.0, 0.0, 0.0, 0.0);
            for kept in kept.iter().filter(|kept| !kept.is_empty()) {
                let n = kept.len() as f64;
                let log = kept.iter().map(|&i| f64::from(c.new[i]) - f64::from(c.old[i])).sum::<f64>() / n;
                let (ratio, bound) = (log.exp(), log.exp().clamp(1.0 - 1e-3, 1.0 + 2e-3));
                (ratios, k3) = (ratios + n * ratio, k3 + n * (log.exp_m1() - log));
                for &i in kept {
                    let a = f64::from(c.advantage[i]);
                    let factor = if weighted { f64::from(c.factor[i]) } else { 1.0 };
                    let divisor = match aggregation {
                        Aggregation::TokenMean => tokens as f64,
                        _ => sequences as f64 * n,
                    };
                    let clipped = -bound * a > -ratio * a;
                    value += (-ratio * a).max(-bound * a) * factor / divisor;
                    want[i] = if clipped { 0.0 } else { -ratio * a * factor / divisor };
                    low += f64::from(u8::from(clipped && a < 0.0));
                    high += f64::from(u8::from(clipped && a > 0.0));
                }
            }
            let d = out.diagnostics;
            assert_eq!((d.tokens, d.sequences), (tokens, sequences));
            assert!(low + high > 0.0 || lengths.len() == 1, "nothing is clipped");
            close(out.value, value, 2e-5, "value");
            for (got, want) in [(d.ratio_mean, ratios), (d.approx_kl, k3), (d.clip_low, low), (d.clip_high, high)] {
                close(got, want / tokens as f64, 1e-4, "diagnostics");
            }
            for (i, (&got, want)) in gradient.iter().zip(want).enumerate() {
                assert!((f64::from(got) - want).abs() <= 1e-5 * want.abs(), "token {i}: {got}, expected {want}");
            }
        }
    }
}

#[test]
fn tis_is_its_formula() {
    let modes = [TisMode::TokenTruncate, TisMode::TokenMask, TisMode::SequenceTruncate, TisMode::SequenceMask];
    for (lengths, mode) in AWKWARD.into_iter().flat_map(|lengths| modes.map(|mode| (lengths, mode))) {
        let c = columns(lengths, 6);
        let by_token = matches!(mode, TisMode::TokenTruncate | TisMode::TokenMask);
        let (min, max) = if by_token { (0.985, 1.01) } else { (0.9, 1.2) };
        let got = tis(&c.new, &c.old, &c.in_loss, &c.lengths, &Tis { mode, max, min: Some(min) }).unwrap();
        let d = |i: usize| f64::from(c.new[i]) - f64::from(c.old[i]);
        let (mut want, mut outside, mut gap, mut max_gap) = (vec![0.0; c.new.len()], 0, 0.0, 0.0f64);
        let tokens: usize = c.kept().iter().map(Vec::len).sum();
        for kept in c.kept() {
            let sum: f64 = kept.iter().map(|&i| d(i)).sum();
            for i in kept {
                let ratio = if by_token { d(i).exp() } else { sum.clamp(-20.0, 20.0).exp() };
                let fits = (min..=max).contains(&ratio);
                let truncate = matches!(mode, TisMode::TokenTruncate | TisMode::SequenceTruncate);
                want[i] = if fits || truncate { ratio.clamp(min, max) } else { 0.0 };
                outside += usize::from(!fits);
                (gap, max_gap) = (gap + d(i).abs(), max_gap.max(d(i).abs()));
            }
        }
        for (i, (&got, want)) in got.weight.iter().zip(want).enumerate() {
            assert!((f64::from(got) - want).abs() <= 1e-4 * want, "{mode:?}, token {i}: {got}, expected {want}");
        }
        close(got.out_of_range, outside as f64 / tokens as f64, 1e-12, "out of range");
        close(got.mean_gap, gap / tokens as f64, 1e-5, "mean gap");
        close(got.max_gap, max_gap, 1e-5, "largest gap");
    }
}

/// The bad token is in the second block of the second span.
#[test]
fn a_bad_token_far_in_is_named() {
    let mut c = columns(&[16_000, 9000, 3], usize::MAX);
    let bad = 16_000 + 1500;
    for column in 0..3 {
        let keep =
            std::mem::replace([&mut c.new, &mut c.old, &mut c.advantage][column].get_mut(bad).unwrap(), f32::NAN);
        let new = Tensor::from_slice(&c.new).set_requires_grad(true);
        let batch = PolicyBatch::new(&c.old, &c.advantage, &c.in_loss, &c.lengths);
        let message = gspo(&new, &batch, &Gspo::default()).unwrap_err().to_string();
        let name = ["logp_new", "logp_old", "advantage"][column];
        assert!(message.starts_with(&format!("{name} is NaN at token {bad}")), "{message}");
        for mode in [TisMode::TokenMask, TisMode::SequenceMask] {
            let tis = tis(&c.new, &c.old, &c.in_loss, &c.lengths, &Tis { mode, ..Tis::default() });
            let name = ["logp_trainer", "logp_sampler"].get(column);
            let message = tis.err().map(|error| error.to_string());
            assert_eq!(message.is_some(), name.is_some());
            if let (Some(message), Some(name)) = (message, name) {
                assert!(message.starts_with(&format!("{name} is NaN at token {bad}")), "{message}");
            }
        }
        [&mut c.new, &mut c.old, &mut c.advantage][column][bad] = keep;
    }
}
