//! The arithmetic of one token: what the fused kernels need of a float, written so that the compiler vectorises it.
//!
//! A ratio, its distance from one and the k3 divergence all come from one exponential. Near a log-ratio of zero, where
//! most tokens are, `exp(d) - 1 - d` computed as written loses all its digits in f32; here the parts are taken out of
//! the polynomial before they are added together, so that a divergence of 1e-8 is still exact to six digits.

#![expect(clippy::inline_always, reason = "the fused loop vectorises only if the whole term is inlined into it")]

use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use marft_torch::Float;
use marft_torch::lanes::{self, Kernel};

use crate::trajectory::Real;

/// The limit put on a log-ratio before it is exponentiated, nats: exp(20) is 4.9e8, finite in f32.
///
/// Beyond it the gradient is zero, as in verl; the ratio statistics show that it happened.
pub const LOG_RATIO_LIMIT: f64 = 20.0;

/// `exp(d)` and its remainders after the first and second term of the series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExpParts<F> {
    /// exp(d)
    pub exp: F,
    /// exp(d) - 1
    pub minus_one: F,
    /// exp(d) - 1 - d
    pub k3: F,
}

/// f32 or f64, with the arithmetic of a loss.
pub trait Lane:
    Real + Float + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self> + AddAssign
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The number where `keep` holds, else exactly zero, whatever it was, NaN included.
    #[must_use]
    fn kept(self, keep: bool) -> Self;
    /// exp(self) and its remainders; `self` within ±[`LOG_RATIO_LIMIT`]. `FUSED` as in [`Kernel::run`].
    fn exp_parts<const FUSED: bool>(self) -> ExpParts<Self>;
    /// ln(1 + exp(-|self|)) and 1 / (1 + exp(self)).
    fn log_sigmoid_parts<const FUSED: bool>(self) -> (Self, Self);
    /// Runs a kernel over columns of this float: f32 in the widest registers of the machine, f64, in which reference
    /// numbers are checked, alike on all.
    fn dispatch<T: Kernel>(kernel: T) -> T::Output;

    /// self * factor + term; with `FUSED`, rounded once.
    #[inline(always)]
    #[must_use]
    fn times_plus<const FUSED: bool>(self, factor: Self, term: Self) -> Self {
        self * factor + term
    }

    /// The smaller of two numbers, neither of them NaN.
    #[inline(always)]
    #[must_use]
    fn least(self, other: Self) -> Self {
        if self < other { self } else { other }
    }

    /// The larger of two numbers, neither of them NaN.
    #[inline(always)]
    #[must_use]
    fn most(self, other: Self) -> Self {
        if self > other { self } else { other }
    }

    /// 1 where `holds`, else 0.
    #[inline(always)]
    fn indicator(holds: bool) -> Self {
        if holds { Self::ONE } else { <Self as Lane>::ZERO }
    }
}

impl Lane for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn kept(self, keep: bool) -> Self {
        Self::from_bits(self.to_bits() & u32::from(keep).wrapping_neg())
    }

    #[inline(always)]
    fn times_plus<const FUSED: bool>(self, factor: Self, term: Self) -> Self {
        if FUSED { self.mul_add(factor, term) } else { self * factor + term }
    }

    #[inline(always)]
    fn exp_parts<const FUSED: bool>(self) -> ExpParts<Self> {
        let Reduced { scale, r, square, q } = reduced::<FUSED>(self);
        let second = square * q;
        let first = r + second;
        // Each remainder is summed from its small parts. Near zero, scale is one and r is d: nothing is left but them.
        let rest = scale - 1.0;
        ExpParts {
            exp: first.times_plus::<FUSED>(scale, scale),
            minus_one: first.times_plus::<FUSED>(scale, rest),
            k3: second.times_plus::<FUSED>(scale, r.times_plus::<FUSED>(scale, -self) + rest),
        }
    }

    #[inline(always)]
    fn log_sigmoid_parts<const FUSED: bool>(self) -> (Self, Self) {
        // Beyond 20 the logarithm is below 3e-9, less than what f32 adds to a 20.
        let Reduced { scale, r, square, q } = reduced::<FUSED>(self.least(-self).most(-20.0));
        // Less exact than `exp_parts` by a rounding, and sooner done: this is what everything waits for.
        let t = q.times_plus::<FUSED>(square * scale, r.times_plus::<FUSED>(scale, scale));
        // ln(1 + t) = t p(t) on [0, 1]: degree 8, largest error 2.6e-8, found like the polynomial of `reduced`.
        let square = t * t;
        let pair = |c1: Self, c0: Self| c1.times_plus::<FUSED>(t, c0);
        let upper = 5.384_058_7e-3f32
            .times_plus::<FUSED>(square, pair(-3.011_095_2e-2, 7.921_071e-2))
            .times_plus::<FUSED>(square, pair(-1.374_662e-1, 1.914_511_5e-1));
        let lower = pair(-2.485_294_5e-1, 3.332_034_3e-1).times_plus::<FUSED>(square, pair(-4.999_955_3e-1, 1.0));
        let p = upper.times_plus::<FUSED>(square * square, lower);
        (t * p, if self >= 0.0 { t } else { 1.0 } / (1.0 + t))
    }

    #[inline]
    fn dispatch<T: Kernel>(kernel: T) -> T::Output {
        lanes::dispatch(kernel)
    }
}

/// What an exponential is put together from: exp(d) = scale (1 + r + square q), with square = r².
struct Reduced {
    scale: f32,
    r: f32,
    square: f32,
    q: f32,
}

#[inline(always)]
fn reduced<const FUSED: bool>(d: f32) -> Reduced {
    // Adding 1.5 * 2^23 leaves round(d / ln 2) in the low bits of the mantissa; 127 more make it an exponent's.
    const ROUND: f32 = 12_583_039.0;
    // Rounded once, one product is exact to 2e-9 n. Rounded twice, ln 2 must be in two parts, the first of 10 bits.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = d.times_plus::<FUSED>(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = if FUSED { n.mul_add(-std::f32::consts::LN_2, d) } else { n * -LN2_LOW + (n * -LN2_HIGH + d) };
    // exp(r) = 1 + r + r^2 q(r) on |r| <= ln(2)/2: the polynomial of degree 4 with the least largest error, 6.2e-8, by
    // Remez's exchange in 30 digits. Added in pairs: a chain of half the length.
    let square = r * r;
    let upper = 1.394_116_6e-3f32.times_plus::<FUSED>(square, 8.363_205e-3f32.times_plus::<FUSED>(r, 4.166_637_4e-2));
    let q = upper.times_plus::<FUSED>(square, 1.666_657_6e-1f32.times_plus::<FUSED>(r, 0.5));
    Reduced { scale: f32::from_bits(shifted.to_bits() << 23), r, square, q }
}

impl Lane for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn kept(self, keep: bool) -> Self {
        Self::from_bits(self.to_bits() & u64::from(keep).wrapping_neg())
    }

    #[inline(always)]
    fn exp_parts<const FUSED: bool>(self) -> ExpParts<Self> {
        let d = self;
        let minus_one = d.exp_m1();
        let k3 = if d.abs() < 0.02 {
            // The series to d^7: the first dropped term is below 1e-17 of the first.
            d * d * (0.5 + d * (1. / 6. + d * (1. / 24. + d * (1. / 120. + d * (1. / 720. + d / 5040.)))))
        } else {
            minus_one - d
        };
        ExpParts { exp: d.exp(), minus_one, k3 }
    }

    #[inline(always)]
    fn log_sigmoid_parts<const FUSED: bool>(self) -> (Self, Self) {
        let t = (-self.abs()).exp();
        (t.ln_1p(), if self >= 0.0 { t } else { 1.0 } / (1.0 + t))
    }

    #[inline]
    fn dispatch<T: Kernel>(kernel: T) -> T::Output {
        kernel.run::<4, false>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// f32 against f64 over the whole range.
    fn agree<const FUSED: bool>() {
        for step in -200_000..=200_000 {
            let d = step as f32 * 1e-4;
            let (got, want) = (d.exp_parts::<FUSED>(), f64::from(d).exp_parts::<false>());
            let relative = |got: f32, want: f64| ((f64::from(got) - want) / want.abs().max(1e-300)).abs();
            assert!(relative(got.exp, want.exp) < 2e-7, "exp({d})");
            if step != 0 {
                assert!(relative(got.k3, want.k3) < 2e-6, "k3({d}): {} for {}", got.k3, want.k3);
                assert!(relative(got.minus_one, want.minus_one) < 2e-6, "expm1({d})");
            }
            if step >= 0 {
                let (got, want) = (d.log_sigmoid_parts::<FUSED>(), f64::from(d).log_sigmoid_parts::<false>());
                assert!(relative(got.0, want.0) < 1e-6, "ln(1 + exp(-{d})): {} for {}", got.0, want.0);
                assert!(relative(got.1, want.1) < 1e-6, "1 / (1 + exp({d})): {} for {}", got.1, want.1);
            }
        }
    }

    #[test]
    fn f32_parts_agree_with_f64() {
        agree::<false>();
        agree::<true>();
    }

    /// python3 -c "from decimal import *; getcontext().prec=50; d=Decimal('1e-5'); print(d.exp()-1-d)"
    #[test]
    fn small_divergences_keep_their_digits() {
        assert!((1e-5_f64.exp_parts::<false>().k3 / 5.000_016_666_708_333_4e-11 - 1.0).abs() < 1e-14);
        assert!((f64::from(1e-5_f32.exp_parts::<false>().k3) / 5.000_016_666_7e-11 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn zero_is_exact_and_a_masked_nan_is_zero() {
        assert_eq!(0f32.exp_parts::<false>(), ExpParts { exp: 1.0, minus_one: 0.0, k3: 0.0 });
        assert_eq!(0f64.exp_parts::<false>(), ExpParts { exp: 1.0, minus_one: 0.0, k3: 0.0 });
        assert_eq!(f32::NAN.kept(false), 0.0);
        assert_eq!(f64::NEG_INFINITY.kept(false), 0.0);
        assert_eq!((-1.5f32).kept(true), -1.5);
    }
}
