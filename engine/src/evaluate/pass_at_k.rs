//! pass@k: the chance that at least one of k answers is right, estimated from n samples without bias.

/// `1 - C(n - right, k) / C(n, k)`, as a running product that never overflows. `None` where `k` is 0 or above `samples`, or
/// `right` above `samples`.
///
/// Source: Chen et al., arXiv 2107.03374, equation 1.
///
/// ```
/// use marft_engine::evaluate::pass_at_k;
/// // 1 - C(7, 5) / C(10, 5) = 1 - 21 / 252
/// assert!((pass_at_k(10, 3, 5).unwrap() - (1.0 - 21.0 / 252.0)).abs() < 1e-12);
/// ```
pub fn pass_at_k(samples: u64, right: u64, k: u64) -> Option<f64> {
    if k == 0 || k > samples || right > samples {
        return None;
    }
    let wrong = samples - right;
    if k > wrong {
        return Some(1.0);
    }
    let none_right: f64 = (0..k).map(|i| (wrong - i) as f64 / (samples - i) as f64).product();
    Some(1.0 - none_right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders() {
        assert_eq!(pass_at_k(4, 0, 2), Some(0.0));
        assert_eq!(pass_at_k(4, 3, 2), Some(1.0));
        assert_eq!(pass_at_k(4, 1, 1), Some(0.25));
        assert_eq!(pass_at_k(4, 1, 5), None);
        assert_eq!(pass_at_k(4, 1, 0), None);
        assert_eq!(pass_at_k(4, 5, 1), None);
    }
}
