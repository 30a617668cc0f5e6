//! What holds for every policy loss, whatever the batch.

use marft_algorithms::kl::KlEstimator;
use marft_algorithms::loss::{
    Aggregation, Cispo, Dapo, Decoupled, DrGrpo, DualClip, Grpo, Gspo, Lane, PolicyBatch, PolicyLoss, PpoClip,
    Reinforce, Totals, cispo, dapo, decoupled, dr_grpo, dual_clip, grpo, gspo, ppo_clip, reinforce,
};
use proptest::collection::vec;
use proptest::prelude::*;
use tch::{Kind, Tensor};

use crate::columns::{assert_close, gradient};

/// A ragged batch, owned.
#[derive(Debug, Clone, Default)]
struct Ragged {
    new: Vec<f64>,
    old: Vec<f64>,
    reference: Vec<f64>,
    advantage: Vec<f64>,
    in_loss: Vec<bool>,
    lengths: Vec<usize>,
}

impl Ragged {
    fn push(&mut self, sequence: &[(f64, f64, f64, f64, bool)]) {
        self.lengths.push(sequence.len());
        for &(new, old, reference, advantage, keep) in sequence {
            self.new.push(new);
            self.old.push(old);
            self.reference.push(reference);
            self.advantage.push(advantage);
            self.in_loss.push(keep);
        }
    }

    fn rows(&self) -> Vec<Vec<(f64, f64, f64, f64, bool)>> {
        let mut start = 0;
        self.lengths
            .iter()
            .map(|&n| {
                let row = (start..start + n)
                    .map(|i| (self.new[i], self.old[i], self.reference[i], self.advantage[i], self.in_loss[i]))
                    .collect();
                start += n;
                row
            })
            .collect()
    }

    fn totals(&self) -> Totals {
        Totals::count(&self.in_loss, &self.lengths)
    }
}

fn ragged(from: impl IntoIterator<Item = Vec<(f64, f64, f64, f64, bool)>>) -> Ragged {
    let mut batch = Ragged::default();
    from.into_iter().for_each(|row| batch.push(&row));
    batch
}

fn batches() -> impl Strategy<Value = Ragged> {
    let token = (-6.0..0.0f64, -1.0..1.0f64, -1.0..1.0f64, -2.0..2.0f64, prop::bool::weighted(0.8))
        .prop_map(|(old, d, r, a, keep)| (old + d, old, old + r, a, keep));
    vec(vec(token, 1..9), 1..6).prop_map(ragged)
}

const LOSSES: [&str; 10] =
    ["ppo", "dual", "grpo", "dapo", "dr_grpo", "gspo", "cispo", "reinforce", "decoupled", "seq-mean-token-sum"];

fn compute(name: &str, batch: &Ragged, totals: Option<Totals>) -> (f64, Vec<f64>) {
    let new = Tensor::from_slice(&batch.new).set_requires_grad(true);
    let columns =
        PolicyBatch { totals, ..PolicyBatch::new(&batch.old, &batch.advantage, &batch.in_loss, &batch.lengths) }
            .with_reference(&batch.reference);
    let out = run(name, &new, &columns, &batch.reference);
    (out.value, gradient(&out.loss, &new))
}

fn run<F: Lane>(name: &str, new: &Tensor, batch: &PolicyBatch<'_, F>, behave: &[F]) -> PolicyLoss {
    match name {
        "ppo" => ppo_clip(new, batch, &PpoClip::default()),
        "dual" => dual_clip(new, batch, &DualClip { dual_clip: 1.5, ..DualClip::default() }),
        "grpo" => grpo(new, batch, &Grpo { beta: 0.1, ..Grpo::default() }),
        "dapo" => dapo(new, batch, &Dapo::default()),
        "dr_grpo" => dr_grpo(new, batch, &DrGrpo::default()),
        "gspo" => gspo(new, batch, &Gspo { clip_low: 0.1, clip_high: 0.1, ..Gspo::default() }),
        "cispo" => cispo(new, batch, &Cispo { ratio_max: 1.5, ..Cispo::default() }),
        "reinforce" => reinforce(new, batch, &Reinforce::default()),
        "decoupled" => decoupled(new, batch, behave, &Decoupled::default()),
        _ => ppo_clip(new, batch, &PpoClip { aggregation: Aggregation::SeqMeanTokenSum, ..PpoClip::default() }),
    }
    .unwrap()
}

/// The same batch with tokens outside the loss put in everywhere, holding whatever is worst.
fn with_junk(batch: &Ragged, junk: f64) -> (Ragged, Vec<bool>) {
    let mut real = Vec::new();
    let rows = batch.rows().into_iter().map(|row| {
        let mut padded = Vec::new();
        for token in row {
            padded.extend([token, (junk, junk, -junk, junk, false), (-1.0, junk, 0.0, junk, false)]);
            real.extend([true, false, false]);
        }
        padded
    });
    (ragged(rows.collect::<Vec<_>>()), real)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn padding_changes_nothing(batch in batches(), which in 0..3usize) {
        let (padded, real) = with_junk(&batch, [f64::NAN, f64::INFINITY, 1e30][which]);
        for name in LOSSES {
            let (value, slope) = compute(name, &batch, None);
            let (padded_value, padded_slope) = compute(name, &padded, None);
            assert_close(name, &[padded_value], &[value], 1e-12);
            let kept: Vec<f64> = padded_slope.iter().zip(&real).filter(|(_, r)| **r).map(|(g, _)| *g).collect();
            assert_close(name, &kept, &slope, 1e-12);
            prop_assert!(padded_slope.iter().zip(&real).all(|(g, r)| *r || *g == 0.0), "{name}: a mask leaks");
        }
    }

    #[test]
    fn chunks_add_up_to_the_whole(batch in batches()) {
        for name in LOSSES {
            let (value, slope) = compute(name, &batch, None);
            let (mut sum, mut slopes) = (0.0, Vec::new());
            for row in batch.rows() {
                let (part, part_slope) = compute(name, &ragged([row]), Some(batch.totals()));
                sum += part;
                slopes.extend(part_slope);
            }
            assert_close(name, &[sum], &[value], 1e-12);
            assert_close(name, &slopes, &slope, 1e-12);
        }
    }

    #[test]
    fn the_order_of_sequences_does_not_matter(batch in batches()) {
        for name in LOSSES {
            let reversed = ragged(batch.rows().into_iter().rev());
            assert_close(name, &[compute(name, &reversed, None).0], &[compute(name, &batch, None).0], 1e-12);
        }
    }

    #[test]
    fn f32_agrees_with_f64(batch in batches()) {
        let cast = |column: &[f64]| -> Vec<f32> { column.iter().map(|&x| x as f32).collect() };
        let (old, reference, advantage) = (cast(&batch.old), cast(&batch.reference), cast(&batch.advantage));
        let columns =
            PolicyBatch::new(&old, &advantage, &batch.in_loss, &batch.lengths).with_reference(&reference);
        for name in LOSSES {
            let new = Tensor::from_slice(&cast(&batch.new)).set_requires_grad(true);
            let out = run(name, &new, &columns, &reference);
            prop_assert_eq!(out.loss.kind(), Kind::Float);
            assert_close(name, &[out.value], &[compute(name, &batch, None).0], 2e-5);
        }
    }

    #[test]
    fn extreme_log_ratios_stay_finite(d in vec(-1e4..1e4f32, 1..40), a in -1e3..1e3f32) {
        let n = d.len();
        let (zero, advantage, in_loss, lengths) = (vec![0.0; n], vec![a; n], vec![true; n], [n]);
        for name in LOSSES {
            let new = Tensor::from_slice(&d).set_requires_grad(true);
            let batch = PolicyBatch::new(&zero, &advantage, &in_loss, &lengths).with_reference(&zero);
            let out = run(name, &new, &batch, &zero);
            prop_assert!(out.value.is_finite() && out.diagnostics.approx_kl.is_finite(), "{name}");
            prop_assert!(gradient(&out.loss, &new).iter().all(|g| g.is_finite()), "{name}");
        }
    }

    #[test]
    fn k3_is_never_negative(d in -1e3..1e3f64) {
        prop_assert!(KlEstimator::K3.value(d) >= 0.0);
        prop_assert!(KlEstimator::K3.value(d as f32) >= 0.0);
    }
}

/// 70,001 tokens in sequences of 1, 2, 1000 and more, over several spans and an odd tail, against the same formula as a
/// chain of tensor operations under autograd.
#[test]
fn large_batches_agree_with_autograd() {
    tch::manual_seed(7);
    let lengths = [1usize, 2, 1000, 40_000, 1, 28_997];
    let n: usize = lengths.iter().sum();
    let random = |scale: f64| (Tensor::rand([n as i64], (Kind::Double, tch::Device::Cpu)) - 0.5) * scale;
    let (old, advantage, keep) = (random(4.0), random(3.0), random(1.0).lt(0.2));
    let new = (&old + random(1.2)).set_requires_grad(true);
    let column = |tensor: &Tensor| Vec::<f64>::try_from(tensor).unwrap();
    let (old_column, advantage_column) = (column(&old), column(&advantage));
    let in_loss = Vec::<bool>::try_from(&keep).unwrap();
    let batch = PolicyBatch::new(&old_column, &advantage_column, &in_loss, &lengths);
    let fused = ppo_clip(&new, &batch, &PpoClip::default()).unwrap();

    let ratio = (&new - &old).exp();
    let terms = (-&ratio * &advantage).maximum(&(-ratio.clamp(0.8, 1.2) * &advantage));
    let tokens = in_loss.iter().filter(|keep| **keep).count() as f64;
    let chain = (terms * keep.to_kind(Kind::Double)).sum(Kind::Double) / tokens;
    assert_close("value", &[fused.value], &[chain.double_value(&[])], 1e-12);
    assert_close("gradient", &gradient(&fused.loss, &new), &gradient(&chain, &new), 1e-12);
    assert_eq!(fused.diagnostics.tokens as f64, tokens);
}
