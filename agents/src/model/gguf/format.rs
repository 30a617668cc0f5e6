//! Storage formats of tensors in GGUF files, and decoding whole tensors from them.

use rayon::prelude::*;

use super::{blocks, k_blocks};

/// A storage format that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "the names that the format is known by")]
pub enum Format {
    /// 32-bit floats.
    F32,
    /// IEEE half floats.
    F16,
    /// bfloat16.
    BF16,
    /// Blocks of 32: scale, 4 bits.
    Q4_0,
    /// Blocks of 32: scale and minimum, 4 bits.
    Q4_1,
    /// Blocks of 32: scale, 5 bits.
    Q5_0,
    /// Blocks of 32: scale and minimum, 5 bits.
    Q5_1,
    /// Blocks of 32: scale, 8 bits.
    Q8_0,
    /// Blocks of 256 in 8 parts: 6-bit scales and minima, 4 bits.
    Q4_K,
    /// Blocks of 256 in 8 parts: 6-bit scales and minima, 5 bits.
    Q5_K,
    /// Blocks of 256 in 16 parts: 8-bit scales, 6 bits.
    Q6_K,
}

/// Values decoded by one task.
const TASK_VALUES: usize = 1 << 16;

impl Format {
    /// The format with this number in files.
    pub(super) fn from_code(code: u32) -> Result<Self, String> {
        Ok(match code {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            12 => Self::Q4_K,
            13 => Self::Q5_K,
            14 => Self::Q6_K,
            30 => Self::BF16,
            other => return Err(format!("storage format {other} is not supported")),
        })
    }

    /// Values in a block, and its length in bytes.
    pub(super) fn block(self) -> (u64, u64) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::BF16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
        }
    }

    /// Decodes whole blocks, on all cores.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let (values, length) = self.block();
        let (values, length) = (values as usize, length as usize);
        let decode: fn(&[u8], &mut [f32]) = match self {
            Self::F32 => |block, out| out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Self::F16 => |block, out| out[0] = half::f16::from_le_bytes([block[0], block[1]]).to_f32(),
            Self::BF16 => |block, out| out[0] = half::bf16::from_le_bytes([block[0], block[1]]).to_f32(),
            Self::Q4_0 => blocks::q4_0,
            Self::Q4_1 => blocks::q4_1,
            Self::Q5_0 => blocks::q5_0,
            Self::Q5_1 => blocks::q5_1,
            Self::Q8_0 => blocks::q8_0,
            Self::Q4_K => k_blocks::q4_k,
            Self::Q5_K => k_blocks::q5_k,
            Self::Q6_K => k_blocks::q6_k,
        };
        let mut out = vec![0.0; bytes.len() / length * values];
        let blocks_a_task = (TASK_VALUES / values).max(1);
        out.par_chunks_mut(blocks_a_task * values).zip(bytes.par_chunks(blocks_a_task * length)).for_each(
            |(out, bytes)| {
                for (out, block) in out.chunks_exact_mut(values).zip(bytes.chunks_exact(length)) {
                    decode(block, out);
                }
            },
        );
        out
    }
}
