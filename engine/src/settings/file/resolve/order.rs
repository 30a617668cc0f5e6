//! `order`: the agents of a sequential schedule by name, each that learns once.

use std::collections::BTreeMap;

use marft_algorithms::preset::Algorithm;
use marft_topologies::check::Code;

use super::agents::Roster;
use super::{Resolving, start};

impl Resolving<'_> {
    /// Reports names in an order that are no agents, learn nothing or come twice, and agents that it leaves out.
    pub(super) fn order(&mut self, found: &BTreeMap<String, Algorithm>, roster: &Roster) {
        let mut seen: Vec<&[String]> = vec![];
        for (label, algorithm) in found.iter().filter(|(_, algorithm)| !algorithm.order.is_empty()) {
            let order = algorithm.order.as_slice();
            if seen.contains(&order) {
                continue;
            }
            seen.push(order);
            let place = self.algorithm_place(label, &["order"]).unwrap_or_else(start);
            for (at, name) in order.iter().enumerate() {
                if roster.labels().all(|known| known != name) {
                    self.unknown("agent", name, place, roster.labels());
                } else if !roster.learns(name) {
                    let message = format!("`{name}` has no place in `order`: it does not learn");
                    self.report(Code::BadCombination, message, place, "leave it out, or let the agent learn");
                } else if order[..at].contains(name) {
                    let message = format!("`order` names `{name}` twice");
                    self.report(Code::BadCombination, message, place, "name every agent that learns once");
                }
            }
            let missing: Vec<&str> =
                roster.learners.iter().filter(|own| !order.contains(own)).map(String::as_str).collect();
            if !missing.is_empty() {
                let message = format!("`order` leaves out `{}`", missing.join("`, `"));
                self.report(Code::BadCombination, message, place, "name every agent that learns once");
            }
        }
    }
}
