//! Means with intervals. Samples of one task resemble each other, so the unit is the task (or a coarser cluster such as the
//! country a question is about), never the single sample: eight answers to one question are not eight observations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean over clusters' observations.
    pub mean: f64,
    /// Standard error, clustered; 0 where there are fewer than two clusters.
    pub standard_error: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// How many clusters.
    pub clusters: usize,
    /// How many observations.
    pub observations: usize,
}

/// The mean of `(cluster, value)` with an interval clustered by the first.
///
/// The variance is that of a ratio estimator: residuals are summed within a cluster, squared, summed over clusters and
/// scaled by `G / (G - 1)`; the interval uses Student's t with `G - 1` degrees of freedom.
///
/// Source: Liang and Zeger 1986; Miller, arXiv 2411.00640, section 2.2.
pub fn mean<'a>(observations: impl IntoIterator<Item = (&'a str, f64)>) -> Option<Estimate> {
    let mut clusters: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    let (mut sum, mut count) = (0.0, 0_usize);
    for (cluster, value) in observations {
        let entry = clusters.entry(cluster).or_default();
        *entry = (entry.0 + value, entry.1 + 1);
        (sum, count) = (sum + value, count + 1);
    }
    if count == 0 {
        return None;
    }
    let mean = sum / count as f64;
    let groups = clusters.len();
    let squares: f64 = clusters.values().map(|(sum, count)| (sum - mean * *count as f64).powi(2)).sum();
    let standard_error =
        if groups < 2 { 0.0 } else { (squares * groups as f64 / (groups as f64 - 1.0)).sqrt() / count as f64 };
    let margin = student_t_975(groups.saturating_sub(1)) * standard_error;
    Some(Estimate {
        mean,
        standard_error,
        low: mean - margin,
        high: mean + margin,
        clusters: groups,
        observations: count,
    })
}

/// The mean of `after - before` over tasks that both have, with an interval clustered by `cluster`: what training changed,
/// with the difficulty of the tasks cancelled out.
pub fn difference<'a>(
    before: &BTreeMap<String, f64>,
    after: &'a BTreeMap<String, f64>,
    cluster: impl Fn(&'a str) -> &'a str,
) -> Option<Estimate> {
    mean(after.iter().filter_map(|(task, value)| Some((cluster(task), value - before.get(task)?))))
}

/// The 97.5 % quantile of Student's t: a table for few degrees of freedom, the Cornish–Fisher expansion for many.
fn student_t_975(degrees: usize) -> f64 {
    // scipy.stats.t.ppf(0.975, range(1, 11))
    const FEW: [f64; 10] = [
        12.706_204_736_432_095,
        4.302_652_729_696_142,
        3.182_446_305_284_263,
        2.776_445_105_197_793,
        2.570_581_835_636_314,
        2.446_911_851_144_969,
        2.364_624_251_592_784,
        2.306_004_135_204_166,
        2.262_157_162_798_205,
        2.228_138_851_964_938,
    ];
    match degrees {
        0 => 0.0,
        1..=10 => FEW[degrees - 1],
        _ => {
            let (z, n) = (1.959_963_984_540_054_f64, degrees as f64);
            let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
            z + (z3 + z) / (4.0 * n)
                + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n.powi(2))
                + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * n.powi(3))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // statsmodels 0.14: OLS(y, ones).fit(cov_type="cluster", cov_kwds={"groups": g, "df_correction": True}) corrects by
    // G/(G-1) * (N-1)/(N-K) with K = 1, hence by G/(G-1) alone:
    // y = [1,0,1,1,0,0], g = [a,a,b,b,c,c]: mean .5, residual sums by cluster 0, 1, -1: se = sqrt(2 * 3/2) / 6 = .288675
    #[test]
    fn clustered_standard_error() {
        let data = [("a", 1.0), ("a", 0.0), ("b", 1.0), ("b", 1.0), ("c", 0.0), ("c", 0.0)];
        let estimate = mean(data).unwrap();
        assert!((estimate.standard_error - 3.0_f64.sqrt() / 6.0).abs() < 1e-12);
        assert_eq!((estimate.mean, estimate.clusters, estimate.observations), (0.5, 3, 6));
        assert!((estimate.high - 0.5 - 4.302_652_73 * 3.0_f64.sqrt() / 6.0).abs() < 1e-6);
    }

    #[test]
    fn repeating_every_sample_adds_no_certainty() {
        let tasks: Vec<(String, f64)> = (0..50).map(|i| (i.to_string(), f64::from(i % 3 == 0))).collect();
        let once = mean(tasks.iter().map(|(task, value)| (task.as_str(), *value))).unwrap();
        let eightfold =
            mean(tasks.iter().flat_map(|(task, value)| std::iter::repeat_n((task.as_str(), *value), 8))).unwrap();
        assert!((once.standard_error - eightfold.standard_error).abs() < 1e-12);
    }

    #[test]
    fn pairing_cancels_the_difficulty_of_tasks() {
        let before: BTreeMap<String, f64> = (0..40).map(|i| (i.to_string(), f64::from(i) / 40.0)).collect();
        let after: BTreeMap<String, f64> = before.iter().map(|(task, value)| (task.clone(), value + 0.1)).collect();
        let gain = difference(&before, &after, |task| task).unwrap();
        assert!((gain.mean - 0.1).abs() < 1e-12 && gain.standard_error < 1e-12);
        assert!(difference(&before, &BTreeMap::new(), |task| task).is_none());
    }

    #[test]
    fn a_large_cluster_counts_for_as_many_tasks_as_it_has() {
        let scores = |of: [f64; 4]| -> BTreeMap<String, f64> {
            ["a1", "a2", "a3", "b1"].into_iter().map(str::to_owned).zip(of).collect()
        };
        let gain = difference(&scores([0.0; 4]), &scores([1.0, 1.0, 1.0, 0.0]), |task| &task[..1]).unwrap();
        // as the difference of the two means, which are 0.75 and 0
        assert_eq!((gain.mean, gain.clusters, gain.observations), (0.75, 2, 4));
    }

    #[test]
    fn one_cluster_has_no_interval_and_none_no_mean() {
        let alone = mean([("a", 1.0), ("a", 0.0)]).unwrap();
        assert_eq!((alone.low, alone.high), (0.5, 0.5));
        assert!(mean(std::iter::empty()).is_none());
    }

    // scipy.stats.t.ppf(0.975, [11, 30, 100]) = 2.200985160, 2.042272456, 1.983971519
    #[test]
    fn quantiles() {
        for (degrees, expected) in [(11, 2.200_985_160), (30, 2.042_272_456), (100, 1.983_971_519)] {
            assert!((student_t_975(degrees) - expected).abs() < 2e-4, "{degrees}");
        }
    }
}
