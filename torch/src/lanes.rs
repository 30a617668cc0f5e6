//! Work compiled once per instruction set and chosen at run time.
//!
//! Rust compiles for the oldest machine of a platform: on x86-64 four floats at a time and no fused multiplication. A
//! [`Kernel`] is compiled again for AVX2 and for AVX-512, and [`dispatch`] runs the widest that the machine has. The
//! compiler does the vectorising: a kernel is a loop over arrays of `LANES` numbers, generic over that width. The last
//! bits of a result therefore depend on the machine, and on nothing else.

/// Work that is compiled once per instruction set.
///
/// Implement `run` with `#[inline(always)]`, and so everything it calls: a function that is not inlined is compiled for
/// the oldest machine.
pub trait Kernel {
    /// What comes of it.
    type Output;

    /// Does it. `LANES` is how many f32 a register holds; `FUSED` whether `f32::mul_add` is one instruction (where it is
    /// not, it is a slow call).
    fn run<const LANES: usize, const FUSED: bool>(self) -> Self::Output;
}

/// Runs `kernel` with the widest registers of this machine.
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("fma")
        {
            // SAFETY: the features that the function is compiled for have just been found.
            return unsafe { avx512(kernel) };
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            return unsafe { avx2(kernel) };
        }
    }
    portable(kernel)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<16, true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<8, true>()
}

fn portable<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<4, { cfg!(target_arch = "aarch64") }>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Dot<'a>(&'a [f32], &'a [f32]);

    impl Kernel for Dot<'_> {
        type Output = f32;

        #[inline(always)]
        #[expect(clippy::inline_always, reason = "what a kernel calls is compiled with it")]
        fn run<const LANES: usize, const FUSED: bool>(self) -> f32 {
            let mut lanes = [0.0; LANES];
            for (x, y) in self.0.as_chunks::<LANES>().0.iter().zip(self.1.as_chunks::<LANES>().0) {
                for i in 0..LANES {
                    lanes[i] = if FUSED { x[i].mul_add(y[i], lanes[i]) } else { x[i] * y[i] + lanes[i] };
                }
            }
            lanes.iter().sum()
        }
    }

    /// Products and sums of small integers are exact, so that every width gives the same.
    #[test]
    fn every_instruction_set_computes_the_same() {
        let x: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let kernel = Dot(&x, &x);
        assert_eq!(dispatch(kernel), 85_344.0);
        assert_eq!(portable(kernel), 85_344.0);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the features that the function is compiled for have just been found.
            assert_eq!(unsafe { avx2(kernel) }, 85_344.0);
        }
    }
}
