//! Bands of a numeric column: what a mixture by difficulty draws in given shares.

use serde::{Deserialize, Serialize};

use super::Task;

/// Tasks told apart by a numeric column, and how often each band is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// The column.
    pub by: String,
    /// Upper bounds of the bands but the last, rising: a task is in the first band whose bound is not below its value.
    pub bounds: Vec<f64>,
    /// How often each band is drawn, relative to the others, one more than there are bounds.
    pub weights: Vec<f64>,
}

impl Bands {
    /// The band of a task, from 0; `None` where the column is missing or no number.
    pub fn band(&self, task: &Task) -> Option<usize> {
        band(&self.by, &self.bounds, task)
    }
}

/// The band of a task between rising bounds, from 0.
pub(super) fn band(by: &str, bounds: &[f64], task: &Task) -> Option<usize> {
    let value = task.number(by)?;
    Some(bounds.partition_point(|bound| *bound < value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::task;
    use super::*;

    #[test]
    fn a_bound_belongs_to_the_band_below_it() {
        let bands = Bands { by: "hops".to_owned(), bounds: vec![1.0, 3.0], weights: vec![1.0; 3] };
        let of = |hops: f64| bands.band(&task("t", &json!({"hops": hops})));
        assert_eq!([-1.0, 1.0, 1.5, 3.0, 3.1].map(of), [0, 0, 1, 1, 2].map(Some));
        assert_eq!(bands.band(&task("t", &json!({"hops": "many"}))), None);
        assert_eq!(bands.band(&task("t", &json!({}))), None);
    }
}
