//! Whether a plan fits, and which change of settings would make it fit.

use super::memory_plan::{MemoryPlan, human};

/// Fewest tokens of a pass that are worth suggesting: below that a pass costs what its weights cost to read.
const LEAST_ROWS: u64 = 256;

/// Smallest key-value cache worth suggesting, MiB.
const LEAST_CACHE_MIB: u64 = 64;

/// A plan that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the run needs {} of memory and the device has {}; hint: {suggestion}", human(*needed), human(*available))]
pub struct MemoryError {
    /// Bytes the plan adds up to.
    pub needed: u64,
    /// Bytes there are.
    pub available: u64,
    /// What would make it fit, or come nearest.
    pub suggestion: String,
}

/// A change of settings.
struct Change {
    /// What to do.
    what: String,
    /// Bytes that it can save.
    saves: u64,
}

impl MemoryPlan {
    /// Refuses a plan beyond `available` bytes.
    ///
    /// # Errors
    /// It does not fit. The error names the first change, from the cheapest on, that alone would make it fit; where there is
    /// none, the one that saves most.
    pub fn fit(&self, available: u64) -> Result<(), MemoryError> {
        let needed = self.total();
        if needed <= available {
            return Ok(());
        }
        Err(MemoryError { needed, available, suggestion: self.suggestion(needed - available) })
    }

    fn suggestion(&self, excess: u64) -> String {
        let changes = self.changes(excess);
        if let Some(enough) = changes.iter().find(|change| change.saves >= excess) {
            return enough.what.clone();
        }
        // the first of those that save alike
        let most = changes.into_iter().rev().max_by_key(|change| change.saves);
        most.map_or(String::new(), |Change { what, saves }| {
            format!("{what}; that frees {} and does not suffice", human(saves))
        })
    }

    /// What can be changed to free `excess` bytes or as much as it can, from the cheapest on.
    fn changes(&self, excess: u64) -> Vec<Change> {
        let mut changes = vec![];
        let mut add = |saves: u64, what: String| {
            if saves > 0 {
                changes.push(Change { what, saves });
            }
        };
        let rows = self.train_rows as u64;
        if let Some(per_row) = (self.activations - self.fixed).checked_div(rows) {
            let spare = rows.saturating_sub(LEAST_ROWS);
            let fewer = rows - excess.div_ceil(per_row.max(1)).min(spare);
            add(spare * per_row, format!("train on at most {fewer} tokens a pass instead of {rows} (`batch_tokens`)"));
        }
        add(
            self.activations - self.checkpointed,
            "recompute activations on the way back instead of keeping them (`checkpointing`)".to_owned(),
        );
        let spare = self.kv.saturating_sub(LEAST_CACHE_MIB << 20);
        let mib = self.kv.saturating_sub(excess.min(spare)) >> 20;
        add(spare, format!("give the key-value cache at most {mib} MiB (`cache_mib`)"));
        add(self.packed, "keep no packed copy of the base's weights (`packed`)".to_owned());
        if self.full {
            add(self.optimizers, "train adapters instead of the base itself (`weights`)".to_owned());
        } else {
            let all = self.adapters + self.optimizers;
            add(all, "train fewer adapters, or adapters of lower rank (`rank`)".to_owned());
        }
        let narrower = if self.wide { ", or a narrower compute type (`dtype`)" } else { "" };
        add(self.base + self.packed, format!("choose a smaller base model (`base`){narrower}"));
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lora::LoraConfig;
    use crate::model::{Placement, shapes};
    use crate::train::PlanRequest;

    fn plan(change: impl FnOnce(&mut PlanRequest<'_>)) -> MemoryPlan {
        let model = shapes::named("smollm2-135m").unwrap();
        let mut request = PlanRequest {
            model: &model,
            placement: Placement::FAST,
            adapters: &[(LoraConfig::default(), true)],
            full: false,
            critics: &[],
            kv_bytes: 256 << 20,
            train_rows: 1024,
            checkpointing: false,
        };
        change(&mut request);
        MemoryPlan::new(&request)
    }

    /// What is suggested where `missing` bytes are missing.
    fn hint(plan: &MemoryPlan, missing: u64) -> String {
        plan.fit(plan.total() - missing).unwrap_err().suggestion
    }

    #[test]
    fn what_fits_is_not_refused() {
        let plan = plan(|_| {});
        assert_eq!(plan.fit(plan.total()), Ok(()));
        let error = plan.fit(plan.total() - 1).unwrap_err();
        assert_eq!((error.needed, error.available), (plan.total(), plan.total() - 1));
        assert!(error.to_string().contains("; hint: train on at most 1023 tokens a pass"), "{error}");
    }

    #[test]
    fn the_suggestion_is_the_first_that_makes_it_fit() {
        let large = plan(|request| request.kv_bytes = 1_000_000 << 20);
        // nearly all of it is the cache: fewer activations would not help
        let available = 16 << 30;
        let hint_of = large.fit(available).unwrap_err().suggestion;
        let mib: u64 = hint_of.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        assert!(hint_of.contains("`cache_mib`") && !hint_of.contains("suffice"), "{hint_of}");
        assert_eq!(plan(|request| request.kv_bytes = mib << 20).fit(available), Ok(()));

        let long = plan(|request| request.train_rows = 8192);
        let hint_of = hint(&long, 1 << 30);
        let rows: usize = hint_of.split_whitespace().find_map(|word| word.parse().ok()).unwrap();
        assert!(hint_of.contains("instead of 8192 (`batch_tokens`)"), "{hint_of}");
        assert_eq!(plan(|request| request.train_rows = rows).fit(long.total() - (1 << 30)), Ok(()));

        let short = plan(|request| request.train_rows = 200);
        assert!(hint(&short, 20 << 20).contains("`checkpointing`"));
        let again = plan(|request| (request.train_rows, request.checkpointing) = (200, true));
        assert!(hint(&again, 20 << 20).contains("`cache_mib`"));
        let bare = plan(|request| (request.train_rows, request.kv_bytes) = (0, 0));
        assert!(hint(&bare, 20 << 20).contains("`packed`"));
    }

    #[test]
    fn a_suggestion_that_does_not_suffice_says_so_and_saves_most() {
        let speaking = plan(|request| request.train_rows = 0);
        let missing = speaking.total() - (1 << 20);
        let told = hint(&speaking, missing);
        assert!(told.starts_with("choose a smaller base model") && told.ends_with("and does not suffice"), "{told}");
        assert!(!told.contains("dtype"), "it is narrow already: {told}");
        let cached = plan(|request| request.kv_bytes = 64 << 30);
        let told = hint(&cached, cached.total() - (1 << 20));
        assert!(told.contains("at most 64 MiB (`cache_mib`); that frees 63.9 GiB and does not suffice"), "{told}");
        let full = plan(|request| (request.full, request.adapters, request.train_rows) = (true, &[], 0));
        let told = hint(&full, full.total() - (1 << 20));
        assert!(told.contains("`weights`"), "{told}");
    }
}
