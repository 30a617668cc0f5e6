//! Blocks of 256 values with scales for parts of them: Q4_K, Q5_K, Q6_K.

use super::blocks::half;

/// Eight parts of 32: `d·scale·q − m·minimum`.
pub(super) fn q4_k(block: &[u8], out: &mut [f32]) {
    let packed = &block[16..144];
    k_parts(block, out, |part, index| {
        let byte = packed[part / 2 * 32 + index];
        if part % 2 == 0 { byte & 15 } else { byte >> 4 }
    });
}

/// As [`q4_k`], with a fifth bit: bit `part` of byte `index`.
pub(super) fn q5_k(block: &[u8], out: &mut [f32]) {
    let (fifth, packed) = (&block[16..48], &block[48..176]);
    k_parts(block, out, |part, index| {
        let byte = packed[part / 2 * 32 + index];
        let low = if part % 2 == 0 { byte & 15 } else { byte >> 4 };
        low | (fifth[index] >> part & 1) << 4
    });
}

/// Sixteen parts of 16: `d·scale·(q − 32)`. Low four bits first, then the upper two, then scales, then `d`.
pub(super) fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block, 208);
    for (index, out) in out.iter_mut().enumerate() {
        // Halves of 128 values, each in quarters of 32.
        let (part, quarter, column) = (index / 128, index / 32 % 4, index % 32);
        let byte = low[part * 64 + quarter % 2 * 32 + column];
        let four = if quarter < 2 { byte & 15 } else { byte >> 4 };
        let two = high[part * 32 + column] >> (2 * quarter) & 3;
        let q = i32::from(four | two << 4) - 32;
        *out = scale * f32::from(scales[index / 16].cast_signed()) * q as f32;
    }
}

fn k_parts(block: &[u8], out: &mut [f32], quantum: impl Fn(usize, usize) -> u8) {
    let (scale, least) = (half(block, 0), half(block, 2));
    for (part, out) in out.chunks_exact_mut(32).enumerate() {
        let (part_scale, part_least) = six_bits(&block[4..16], part);
        let (scale, least) = (scale * f32::from(part_scale), least * f32::from(part_least));
        for (index, out) in out.iter_mut().enumerate() {
            *out = scale * f32::from(quantum(part, index)) - least;
        }
    }
}

/// The 6-bit scale and minimum of a part: twelve bytes hold eight of each, the last four with their upper bits in the
/// first eight bytes.
fn six_bits(packed: &[u8], part: usize) -> (u8, u8) {
    if part < 4 {
        (packed[part] & 63, packed[part + 4] & 63)
    } else {
        let shared = packed[part + 4];
        (shared & 15 | packed[part - 4] >> 6 << 4, shared >> 4 | packed[part] >> 6 << 4)
    }
}
