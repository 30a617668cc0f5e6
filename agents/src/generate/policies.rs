//! What generation asks of the policies on a device: their versions, and adapters for rows.

use std::ops::Range;

use super::request::PolicyId;
use crate::model::RowAdapters;

/// A run of rows of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Whose rows they are.
    pub policy: PolicyId,
    /// The rows.
    pub rows: Range<usize>,
}

/// The policies of one device.
pub trait Policies {
    /// How many updates a policy has seen; `None` if it is not here.
    fn version(&self, policy: PolicyId) -> Option<u64>;

    /// Whether the weights of this policy are the base itself, so that a change of them changes every policy.
    fn owns_base(&self, _policy: PolicyId) -> bool {
        false
    }

    /// Adapters for rows in which the policies stand in these segments, in order and without gaps. `None` where no row has one.
    fn adapters<'a>(&'a self, segments: &[Segment]) -> Option<Box<dyn RowAdapters + 'a>>;
}

/// Cuts rows with these policies into segments.
pub(crate) fn segments(policies: impl IntoIterator<Item = PolicyId>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    for (row, policy) in policies.into_iter().enumerate() {
        match segments.last_mut() {
            Some(last) if last.policy == policy => last.rows.end = row + 1,
            _ => segments.push(Segment { policy, rows: row..row + 1 }),
        }
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_policy_are_one_segment() {
        let got = segments([1, 1, 0, 2, 2].map(PolicyId));
        let want = [(1, 0..2), (0, 2..3), (2, 3..5)].map(|(id, rows)| Segment { policy: PolicyId(id), rows });
        assert_eq!(got, want);
    }
}
