//! Blocks of 32 values with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
//!
//! Of each packed byte the low half is a value of the block's first sixteen, the high half one of its last. The fifth bits
//! of 5-bit formats are a 32-bit word, one bit a value.

/// `d·(q − 8)`.
pub(super) fn q4_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    nibbles(&block[2..18], out, |_, q| scale * (f32::from(q) - 8.0));
}

/// `d·q + m`.
pub(super) fn q4_1(block: &[u8], out: &mut [f32]) {
    let (scale, least) = (half(block, 0), half(block, 2));
    nibbles(&block[4..20], out, |_, q| scale * f32::from(q) + least);
}

/// `d·(q − 16)`.
pub(super) fn q5_0(block: &[u8], out: &mut [f32]) {
    let (scale, fifth) = (half(block, 0), word(block, 2));
    nibbles(&block[6..22], out, |index, q| scale * (f32::from(q | fifth_bit(fifth, index)) - 16.0));
}

/// `d·q + m`.
pub(super) fn q5_1(block: &[u8], out: &mut [f32]) {
    let (scale, least, fifth) = (half(block, 0), half(block, 2), word(block, 4));
    nibbles(&block[8..24], out, |index, q| scale * f32::from(q | fifth_bit(fifth, index)) + least);
}

/// `d·q`, `q` signed.
pub(super) fn q8_0(block: &[u8], out: &mut [f32]) {
    let scale = half(block, 0);
    for (out, &q) in out.iter_mut().zip(&block[2..34]) {
        *out = scale * f32::from(q.cast_signed());
    }
}

/// The half float at `at`.
pub(super) fn half(block: &[u8], at: usize) -> f32 {
    half::f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

fn fifth_bit(word: u32, index: usize) -> u8 {
    ((word >> index & 1) << 4) as u8
}

fn nibbles(packed: &[u8], out: &mut [f32], value: impl Fn(usize, u8) -> f32) {
    let (low, high) = out.split_at_mut(16);
    for (index, &byte) in packed.iter().enumerate() {
        low[index] = value(index, byte & 15);
        high[index] = value(index + 16, byte >> 4);
    }
}
