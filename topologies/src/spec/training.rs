//! Rewards and credit as typed.

use super::{AttachPoint, CreditGroup, CreditRule};
use crate::source::Spanned;
use crate::table;

table! {
    /// A named reward term.
    RewardSpec {
        /// Where it lands; the team when absent.
        at: AttachPoint;
        /// Agents it is paid to; the whole team when absent.
        of: Vec<Spanned<String>>;
        /// Factor in the sum; 1 when absent.
        weight: f64;
    }
}

table! {
    /// How reward becomes credit.
    CreditSpec {
        /// Who shares in a team reward; everyone when absent.
        rule: CreditRule;
        /// What is compared with what; same task when absent.
        group: CreditGroup;
    }
}
