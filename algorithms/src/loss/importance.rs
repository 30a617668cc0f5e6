//! The weights of [`tis`](super::tis) over a span: two kernels, of tokens and of whole sequences, each with one look at the
//! columns.

#![expect(clippy::inline_always, reason = "the loop vectorises only if all that it calls is inlined into it")]
#![expect(clippy::needless_bitwise_bool, reason = "a branch keeps the loop from vectorising")]

use marft_torch::lanes::Kernel;
use marft_torch::parallel::Unwritten;

use super::aggregate::CountKept;
use super::fused::{BLOCK, fold, pad, sum};
use super::lane::{LOG_RATIO_LIMIT, Lane};
use super::pairs::{Pairwise, pairs};
use super::policy::ratio;

/// What weights are limited to, and what becomes of one beyond.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<F> {
    pub floor: F,
    pub max: F,
    pub truncate: bool,
}

impl<F: Lane> Bounds<F> {
    /// The weight that takes the place of a ratio, and whether it is the ratio itself.
    #[inline(always)]
    fn apply(self, ratio: F) -> (F, bool) {
        let limited = ratio.least(self.max).most(self.floor);
        let fits = limited == ratio;
        (if self.truncate | fits { limited } else { <F as Lane>::ZERO }, fits)
    }
}

/// How far apart trainer and sampler are over tokens in the loss.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gaps {
    /// Sum of |d|; not finite if a number in the loss is not.
    pub sum: f64,
    /// Largest |d|.
    pub max: f64,
    /// Tokens whose weight is out of range.
    pub outside: f64,
    /// Tokens.
    pub tokens: usize,
}

impl Gaps {
    pub(crate) fn merge(self, other: &Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            max: self.max.max(other.max),
            outside: self.outside + other.outside,
            tokens: self.tokens + other.tokens,
        }
    }
}

/// Weights of single tokens.
pub(crate) struct ByToken<'a, 'w, F> {
    pub bounds: Bounds<F>,
    pub trainer: &'a [F],
    pub sampler: &'a [F],
    pub in_loss: &'a [bool],
    pub weight: &'a mut Unwritten<'w, F>,
}

impl<F: Lane> Kernel for ByToken<'_, '_, F> {
    type Output = Gaps;

    #[inline(always)]
    fn run<const LANES: usize, const FUSED: bool>(self) -> Gaps {
        let Self { bounds, trainer, sampler, in_loss, weight } = self;
        let mut gaps = Gaps { tokens: CountKept(in_loss).run::<LANES, FUSED>(), ..Gaps::default() };
        for start in (0..trainer.len()).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(trainer.len());
            let (trainer, trainer_tail) = trainer[block.clone()].as_chunks::<LANES>();
            let (sampler, sampler_tail) = sampler[block.clone()].as_chunks::<LANES>();
            let (in_loss, mask_tail) = in_loss[block.clone()].as_chunks::<LANES>();
            let (weight, weight_tail) = weight.take(block.len()).as_chunks_mut::<LANES>();
            gaps = gaps.merge(&registers::<F, LANES, FUSED>(bounds, trainer, sampler, in_loss, weight));
            if !mask_tail.is_empty() {
                let (trainer, sampler, in_loss) = ([pad(trainer_tail)], [pad(sampler_tail)], [pad(mask_tail)]);
                let mut last = [[<F as Lane>::ZERO; LANES]];
                gaps = gaps.merge(&registers::<F, LANES, FUSED>(bounds, &trainer, &sampler, &in_loss, &mut last));
                weight_tail.copy_from_slice(&last[0][..weight_tail.len()]);
            }
        }
        gaps
    }
}

/// Written for the compiler like the registers of a loss.
#[inline(always)]
fn registers<F: Lane, const LANES: usize, const FUSED: bool>(
    bounds: Bounds<F>,
    trainer: &[[F; LANES]],
    sampler: &[[F; LANES]],
    in_loss: &[[bool; LANES]],
    weight: &mut [[F; LANES]],
) -> Gaps {
    let zero = [<F as Lane>::ZERO; LANES];
    let (mut gap, mut max, mut outside) = (zero, zero, zero);
    let n = weight.len();
    let (trainer, sampler, in_loss) = (&trainer[..n], &sampler[..n], &in_loss[..n]);
    for j in 0..n {
        for i in 0..LANES {
            let keep = in_loss[j][i];
            let (trainer, sampler) = (trainer[j][i].kept(keep), sampler[j][i].kept(keep));
            let d = trainer - sampler;
            let size = d.most(-d);
            gap[i] += size;
            max[i] = size.most(max[i]);
            let (value, fits) = bounds.apply(ratio::<F, FUSED>(trainer, sampler).parts.exp);
            weight[j][i] = value.kept(keep);
            outside[i] += F::indicator(keep & !fits);
        }
    }
    Gaps { sum: sum(&gap), max: fold(max, |a, b| b.most(a)).wide(), outside: sum(&outside), tokens: 0 }
}

/// One weight for all tokens of a sequence.
pub(crate) struct BySequence<'a, 'w, F> {
    pub bounds: Bounds<F>,
    pub lengths: &'a [usize],
    pub trainer: &'a [F],
    pub sampler: &'a [F],
    pub in_loss: &'a [bool],
    pub weight: &'a mut Unwritten<'w, F>,
}

impl<F: Lane> Kernel for BySequence<'_, '_, F> {
    type Output = Gaps;

    #[inline(always)]
    fn run<const LANES: usize, const FUSED: bool>(self) -> Gaps {
        let Self { bounds, lengths, trainer, sampler, in_loss, weight } = self;
        let (mut gaps, mut start) = (Gaps::default(), 0);
        for &length in lengths {
            let end = start + length;
            let (mut log_ratios, mut own) = (0.0, Gaps::default());
            for block in (start..end).step_by(BLOCK) {
                let (trainer, sampler, in_loss) = (&trainer[block..], &sampler[block..], &in_loss[block..]);
                let [d, gap, max] = pairs::<F, _, 3, LANES>(Gap, trainer, sampler, in_loss, BLOCK.min(end - block));
                log_ratios += sum(&d);
                own.sum += sum(&gap);
                own.max = own.max.max(fold(max, |a, b| b.most(a)).wide());
            }
            let in_loss = &in_loss[start..end];
            own.tokens = CountKept(in_loss).run::<LANES, FUSED>();
            let (value, fits) = bounds.apply(F::narrow(log_ratios.clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT).exp()));
            own.outside = if fits { 0.0 } else { own.tokens as f64 };
            for (weight, &keep) in weight.take(length).iter_mut().zip(in_loss) {
                *weight = value.kept(keep);
            }
            gaps = gaps.merge(&own);
            start = end;
        }
        gaps
    }
}

/// Sum, sum of sizes, and largest size of a difference.
#[derive(Clone, Copy)]
struct Gap;

impl<F: Lane> Pairwise<F, 3> for Gap {
    #[inline(always)]
    fn with(self, [sum, sizes, largest]: [F; 3], left: F, right: F) -> [F; 3] {
        let d = left - right;
        let size = d.most(-d);
        [sum + d, sizes + size, size.most(largest)]
    }
}
