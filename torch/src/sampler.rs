//! Drawing one token from every row of logits, with the exact log-probability of the draw.
//!
//! A softmax over the vocabulary followed by a multinomial draw reads and writes a float copy of every row several times; at
//! 49,000 tokens and 64 rows that costs more than the feed-forward layers of a small model. This draws from the rows as they
//! are. All randomness comes in from outside, one uniform number a draw, so a draw is a pure function.

use std::ffi::c_int;

use tch::Tensor;

use crate::error::{Handle, Result, check, handle};

unsafe extern "C" {
    fn marft_draw(
        logits: Handle,
        requests: *const DrawRequest,
        count: usize,
        edit_ids: *const i32,
        edit_kinds: *const u8,
        edits: usize,
        masks: *const u32,
        mask_words: usize,
        draws: *mut Draw,
    ) -> c_int;
}

/// What is done to the logit of one id before the draw; the three can be combined by `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit(u8);

impl Edit {
    /// The id stands in the prompt or the answer: the repetition penalty applies.
    pub const SEEN: Self = Self(1);
    /// The id stands in the answer: the presence penalty applies.
    pub const ANSWERED: Self = Self(2);
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The id must not be drawn.
    pub const SUPPRESSED: Self = Self(4);
}

impl std::ops::BitOr for Edit {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One draw from one row.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct DrawRequest {
    /// Divides the logits; 0 takes the peak, the lowest id among equals.
    pub temperature: f32,
    /// Where in the cumulative distribution to draw, in [0, 1).
    pub uniform: f32,
    /// Keeps the most probable tokens up to this share of the mass; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this share as probable as the most probable one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of ids marked [`Edit::SEEN`].
    pub repetition: f32,
    /// Subtracted from the logits of ids marked [`Edit::ANSWERED`].
    pub presence: f32,
    /// The row of the logits.
    pub row: i64,
    /// Keeps this many most probable tokens; 0 keeps all.
    pub top_k: i64,
    edits_begin: i64,
    edits_end: i64,
    mask_begin: i64,
    mask_end: i64,
}

impl DrawRequest {
    /// A draw from the plain distribution of `row`.
    pub fn new(row: usize, temperature: f32, uniform: f32) -> Self {
        Self {
            temperature,
            uniform,
            top_p: 1.0,
            min_p: 0.0,
            repetition: 1.0,
            presence: 0.0,
            row: row as i64,
            top_k: 0,
            edits_begin: 0,
            edits_end: 0,
            mask_begin: 0,
            mask_end: 0,
        }
    }
}

/// A drawn token.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[repr(C)]
pub struct Draw {
    /// Log-probability under the distribution drawn from, after edits, temperature and truncation.
    pub logprob: f32,
    /// Log-probability under the row alone, at temperature 1.
    pub logprob_t1: f32,
    /// Entropy in nats of the row alone, at temperature 1.
    pub entropy: f32,
    /// The id, or −1 where the row holds no finite distribution.
    pub id: i32,
}

/// Collects draws and performs them together.
#[derive(Debug, Default)]
pub struct Draws {
    requests: Vec<DrawRequest>,
    edit_ids: Vec<i32>,
    edit_kinds: Vec<u8>,
    masks: Vec<u32>,
}

impl Draws {
    /// Adds a draw. An id must not appear twice in its edits.
    pub fn push(&mut self, mut request: DrawRequest, edits: impl IntoIterator<Item = (u32, Edit)>) {
        request.edits_begin = self.edit_ids.len() as i64;
        for (id, edit) in edits {
            self.edit_ids.push(i32::try_from(id).unwrap_or(-1));
            self.edit_kinds.push(edit.0);
        }
        request.edits_end = self.edit_ids.len() as i64;
        self.requests.push(request);
    }

    /// Suppresses, in the draw added last, every id whose bit is not set in `mask`: id i is bit i % 32 of word i / 32, and ids
    /// beyond its words are suppressed too. An empty mask changes nothing.
    pub fn restrict(&mut self, mask: &[u32]) {
        if let Some(request) = self.requests.last_mut() {
            request.mask_begin = self.masks.len() as i64;
            self.masks.extend_from_slice(mask);
            request.mask_end = self.masks.len() as i64;
        }
    }

    /// Performs every draw on `logits` [rows, vocabulary] (f32 or bf16, on the CPU), in the order they were added. Fails on a
    /// row, an edited id or a parameter out of range.
    pub fn draw(&self, logits: &Tensor) -> Result<Vec<Draw>> {
        let mut draws = vec![Draw::default(); self.requests.len()];
        // SAFETY: the slices live through the call and have the lengths given; rows, ids and ranges of edits are checked by the
        // entry before use; `DrawRequest` and `Draw` are `repr(C)` and mirror its structs field by field.
        let status = unsafe {
            marft_draw(
                handle(logits),
                self.requests.as_ptr(),
                self.requests.len(),
                self.edit_ids.as_ptr(),
                self.edit_kinds.as_ptr(),
                self.edit_ids.len(),
                self.masks.as_ptr(),
                self.masks.len(),
                draws.as_mut_ptr(),
            )
        };
        check(status, "draw")?;
        Ok(draws)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// Uneven logits over `n` ids, so that tails and stretches of every length occur.
    fn row(n: i64, seed: f64) -> Tensor {
        let x = Tensor::arange(n, (Kind::Double, Device::Cpu));
        ((x * 12.9898 + seed).sin() * 43758.5453).frac().abs().log() * -1.3
    }

    fn draw_one(logits: &Tensor, request: DrawRequest, edits: &[(u32, Edit)]) -> Draw {
        let mut draws = Draws::default();
        draws.push(request, edits.iter().copied());
        draws.draw(logits).unwrap()[0]
    }

    /// The distribution a request asks for, by sorting and double precision: (probabilities, entropy at T = 1).
    fn naive(logits: &[f64], request: &DrawRequest, edits: &[(u32, Edit)]) -> Vec<f64> {
        let mut l = logits.to_vec();
        for &(id, edit) in edits {
            let x = &mut l[id as usize];
            if edit.0 & 1 != 0 {
                *x = if *x > 0.0 { *x / f64::from(request.repetition) } else { *x * f64::from(request.repetition) };
            }
            if edit.0 & 2 != 0 {
                *x -= f64::from(request.presence);
            }
            if edit.0 & 4 != 0 {
                *x = f64::NEG_INFINITY;
            }
        }
        let peak = l.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut p: Vec<f64> = l.iter().map(|x| ((x - peak) / f64::from(request.temperature)).exp()).collect();
        let mut order: Vec<usize> = (0..p.len()).collect();
        order.sort_by(|&a, &b| p[b].total_cmp(&p[a]).then(a.cmp(&b)));
        let mut keep = order.iter().filter(|&&i| p[i] >= f64::from(request.min_p)).count();
        if request.top_k > 0 {
            keep = keep.min(request.top_k as usize);
        }
        let mass: f64 = order[..keep].iter().map(|&i| p[i]).sum();
        if request.top_p < 1.0 {
            let mut below = 0.0;
            keep = order[..keep]
                .iter()
                .take_while(|&&i| {
                    let before = below;
                    below += p[i];
                    before < f64::from(request.top_p) * mass
                })
                .count();
        }
        for &i in &order[keep..] {
            p[i] = 0.0;
        }
        let total: f64 = p.iter().sum();
        p.iter().map(|x| x / total).collect()
    }

    fn cases() -> Vec<(DrawRequest, Vec<(u32, Edit)>)> {
        let plain = DrawRequest::new(0, 1.0, 0.0);
        let edits = vec![(3, Edit::SEEN), (40, Edit::SEEN | Edit::ANSWERED), (41, Edit::SUPPRESSED)];
        vec![
            (plain, vec![]),
            (DrawRequest { temperature: 0.6, ..plain }, vec![]),
            (DrawRequest { temperature: 1.7, ..plain }, edits.clone()),
            (DrawRequest { repetition: 1.3, presence: 0.7, ..plain }, edits.clone()),
            (DrawRequest { top_k: 5, ..plain }, vec![]),
            (DrawRequest { top_p: 0.9, ..plain }, vec![]),
            (DrawRequest { min_p: 0.1, ..plain }, vec![]),
            (DrawRequest { top_k: 40, top_p: 0.8, min_p: 0.01, temperature: 0.8, ..plain }, vec![]),
            (DrawRequest { top_p: 0.5, repetition: 2.0, presence: 1.0, ..plain }, edits),
        ]
    }

    #[test]
    fn log_probabilities_are_those_of_a_naive_softmax() {
        for n in [49, 512, 1000, 49_152] {
            let logits = row(n, 0.3);
            let plain: Vec<f64> = Vec::try_from(&logits.to_kind(Kind::Float).to_kind(Kind::Double)).unwrap();
            let one = naive(&plain, &DrawRequest::new(0, 1.0, 0.0), &[]);
            let entropy: f64 = one.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
            for (request, edits) in cases() {
                let want = naive(&plain, &request, &edits);
                for uniform in [0.0, 0.1, 0.37, 0.5, 0.93, 0.999_999] {
                    let request = DrawRequest { uniform, ..request };
                    let draw = draw_one(&logits.to_kind(Kind::Float).view([1, n]), request, &edits);
                    let id = usize::try_from(draw.id).unwrap();
                    let context = format!("{n} {request:?} {draw:?}");
                    assert!((want[id].ln() - f64::from(draw.logprob)).abs() < 1e-5, "{context} {}", want[id].ln());
                    assert!((one[id].ln() - f64::from(draw.logprob_t1)).abs() < 1e-5, "{context} {}", one[id].ln());
                    assert!((entropy - f64::from(draw.entropy)).abs() < 2e-5, "{context} {entropy}");
                    let below: f64 = want[..id].iter().sum();
                    let (low, high) = (below - 1e-5, below + want[id] + 1e-5);
                    assert!((low..=high).contains(&f64::from(uniform)), "{context}: {low}..{high}");
                }
            }
        }
    }

    #[test]
    fn bf16_rows_are_read_as_the_numbers_they_are() {
        let narrow = row(777, 0.9).to_kind(Kind::BFloat16).view([1, 777]);
        for (request, edits) in cases() {
            let request = DrawRequest { uniform: 0.61, ..request };
            let (a, b) = (draw_one(&narrow, request, &edits), draw_one(&narrow.to_kind(Kind::Float), request, &edits));
            assert_eq!(a, b);
        }
    }

    #[test]
    fn zero_temperature_takes_the_first_peak() {
        let logits = Tensor::from_slice(&[0.5f32, 3.0, 3.0, -1.0]).view([1, 4]);
        let draw = draw_one(&logits, DrawRequest::new(0, 0.0, 0.9), &[]);
        assert_eq!((draw.id, draw.logprob), (1, 0.0));
        assert_eq!(draw_one(&logits, DrawRequest::new(0, 0.0, 0.9), &[(1, Edit::SUPPRESSED)]).id, 2);
    }

    #[test]
    fn a_mask_is_as_many_suppressed_ids() {
        for n in [49, 512, 1000] {
            let logits = row(n, 0.4).to_kind(Kind::Float).view([1, n]);
            // Every third id, up to where the mask ends; nothing beyond.
            for words in [1, 2, 40] {
                let mask: Vec<u32> = (0..words * 32)
                    .step_by(32)
                    .map(|w| (0..32).filter(|b| (w + b) % 3 == 0).map(|b| 1 << b).sum())
                    .collect();
                let banned: Vec<(u32, Edit)> = (0..n as u32)
                    .filter(|id| id % 3 != 0 || *id >= words * 32)
                    .map(|id| (id, Edit::SUPPRESSED))
                    .collect();
                for (request, _) in cases() {
                    for uniform in [0.0, 0.4, 0.999] {
                        let request = DrawRequest { uniform, ..request };
                        let mut draws = Draws::default();
                        draws.push(request, []);
                        draws.restrict(&mask);
                        assert_eq!(
                            draws.draw(&logits).unwrap()[0],
                            draw_one(&logits, request, &banned),
                            "{n} {words} {request:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_mask_of_nothing_draws_nothing_and_binds_its_own_draw_only() {
        let logits = row(40, 0.1).to_kind(Kind::Float).view([1, 40]);
        let mut draws = Draws::default();
        let request = DrawRequest::new(0, 1.0, 0.3);
        draws.push(request, []);
        draws.restrict(&[0, 0]);
        draws.push(request, []);
        let drawn = draws.draw(&logits).unwrap();
        assert_eq!(drawn[0].id, -1);
        assert_eq!(drawn[1], draw_one(&logits, request, &[]));
    }

    /// χ² over 40 ids at 20,000 evenly spread uniforms: the draw must follow the distribution, truncated or not.
    #[test]
    fn draws_follow_their_distribution() {
        let logits = row(40, 0.77).to_kind(Kind::Float).view([1, 40]);
        let plain: Vec<f64> = Vec::try_from(&logits.view(-1).to_kind(Kind::Double)).unwrap();
        for request in [DrawRequest::new(0, 1.0, 0.0), DrawRequest { top_p: 0.7, ..DrawRequest::new(0, 1.4, 0.0) }] {
            let (count, mut seen) = (20_000, vec![0u32; 40]);
            let mut draws = Draws::default();
            for i in 0..count {
                // The golden ratio's multiples are spread evenly over the unit interval.
                draws.push(DrawRequest { uniform: (f64::from(i) * 0.618_033_988_75 % 1.0) as f32, ..request }, []);
            }
            for draw in draws.draw(&logits).unwrap() {
                seen[usize::try_from(draw.id).unwrap()] += 1;
            }
            let want = naive(&plain, &request, &[]);
            let chi2: f64 = seen
                .iter()
                .zip(&want)
                .filter(|&(_, &p)| p > 0.0)
                .map(|(&n, p)| {
                    let expected = p * f64::from(count);
                    (f64::from(n) - expected).powi(2) / expected
                })
                .sum();
            assert!(chi2 < 62.4, "{chi2}"); // 99 % of χ² with 39 degrees of freedom lies below
            assert!(seen.iter().zip(&want).all(|(&n, &p)| p > 0.0 || n == 0), "an id that was cut off was drawn");
        }
    }

    #[test]
    fn a_row_that_is_no_distribution_draws_nothing() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let logits = Tensor::from_slice(&[0.0f32; 40]).view([1, 40]);
            let _ = logits.get(0).narrow(0, 20, 1).fill_(f64::from(bad));
            let draw = draw_one(&logits, DrawRequest::new(0, 1.0, 0.5), &[]);
            // A logit of minus infinity is a token of probability zero, and no fault.
            assert_eq!(draw.id >= 0, bad == f32::NEG_INFINITY, "{bad} {draw:?}");
            assert_ne!(draw.id, 20);
        }
    }

    #[test]
    fn rows_and_ids_out_of_range_are_refused() {
        let logits = Tensor::zeros([2, 4], (Kind::Float, Device::Cpu));
        for (request, edit) in
            [(DrawRequest::new(2, 1.0, 0.0), 0), (DrawRequest::new(0, 1.0, 1.0), 0), (DrawRequest::new(0, 1.0, 0.0), 4)]
        {
            let mut draws = Draws::default();
            draws.push(request, [(edit, Edit::SEEN)]);
            assert!(draws.draw(&logits).is_err(), "{request:?} {edit}");
        }
    }
}
