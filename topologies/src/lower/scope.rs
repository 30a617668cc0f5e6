//! The names of one team: which nodes stand behind each, and what a reference like `debater.answer@-1` means.

use std::collections::HashMap;

use crate::check::names::nearest;
use crate::check::{Code, Problem};
use crate::source::{Span, Spanned};
use crate::team::{NodeId, NodeKind};

/// Nodes behind a name: consecutive, one per replica.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    pub(super) first: NodeId,
    pub(super) count: u32,
}

impl Group {
    pub(super) fn nodes(self) -> impl Iterator<Item = NodeId> + Clone {
        (self.first.0..self.first.0 + self.count).map(NodeId)
    }
}

/// Names of one team.
#[derive(Debug, Default)]
pub(super) struct Scope {
    names: HashMap<String, Group>,
    order: Vec<(String, Group)>,
}

impl Scope {
    /// Adds a name; `false` when it was taken.
    pub(super) fn insert(&mut self, name: &str, group: Group) -> bool {
        if self.names.contains_key(name) {
            return false;
        }
        self.names.insert(name.to_owned(), group);
        self.order.push((name.to_owned(), group));
        true
    }

    pub(super) fn get(&self, name: &str) -> Option<Group> {
        self.names.get(name).copied()
    }

    /// Names in declared order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Group)> {
        self.order.iter().map(|(name, group)| (name.as_str(), *group))
    }

    pub(super) fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.order.iter().map(|(name, _)| name.as_str()))
    }

    /// Looks a name up, or reports it as dangling.
    pub(super) fn resolve(&self, name: &Spanned<String>, problems: &mut Vec<Problem>) -> Option<Group> {
        let group = self.get(name);
        if group.is_none() {
            problems.push(self.dangling(name, name.span));
        }
        group
    }

    /// The problem of a name that does not exist.
    pub(super) fn dangling(&self, name: &str, span: Span) -> Problem {
        let help = match self.nearest(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.order.is_empty() => "this team has no nodes".to_owned(),
            None if self.order.len() <= 12 => {
                let names: Vec<_> = self.order.iter().map(|(name, _)| name.as_str()).collect();
                format!("nodes of this team: {}", crate::spec::read::list(&names))
            }
            None => format!("this team has {} nodes, none with a similar name", self.order.len()),
        };
        Problem::new(Code::DanglingReference, format!("there is no node `{name}`"), span).help(help)
    }
}

/// A parsed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    pub(super) field: Option<&'a str>,
    pub(super) delay: u32,
}

/// Parses `name`, `name.field`, `name@-1`, `name.field@-1`.
pub(super) fn parse_reference(text: &str) -> Option<Reference<'_>> {
    let (target, delay) = match text.split_once('@') {
        Some((target, delay)) => (target, delay.strip_prefix('-')?.parse().ok().filter(|delay| *delay > 0)?),
        None => (text, 0),
    };
    let (name, field) = match target.split_once('.') {
        Some((name, field)) => (name, Some(field)),
        None => (target, None),
    };
    let word = |word: &str| !word.is_empty() && !word.contains(['.', '@', ' ']);
    (word(name) && field.is_none_or(word)).then_some(Reference { name, field, delay })
}

/// Words that mean something else in templates and guards.
const RESERVED: &[&str] = &[
    "task",
    "round",
    "item",
    "index",
    "done",
    "message",
    "messages",
    "inputs",
    "output",
    "me",
    "state",
    "true",
    "false",
    "null",
    "in",
    "not",
    "and",
    "or",
    "is",
    "if",
    "else",
    "for",
    "loop",
    "self",
    "super",
    "none",
    "True",
    "False",
    "None",
    "as",
    "break",
    "const",
    "continue",
    "function",
    "import",
    "let",
    "namespace",
    "package",
    "return",
    "var",
    "void",
    "while",
    "dict",
    "range",
    "debug",
    "size",
    "has",
];

/// Why a name cannot be used; `None` when it can.
pub(super) fn name_fault(name: &str) -> Option<&'static str> {
    if RESERVED.contains(&name) {
        return Some("is a word of the template and guard languages");
    }
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if !starts || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') || name.len() > 64 {
        return Some("is not made of letters, digits and `_` (64 at most, no digit first)");
    }
    None
}

/// Whether a node may be a member of a loop, a route's target, and so on: everything but nothing.
pub(super) fn is_agent(kind: &NodeKind) -> bool {
    matches!(kind, NodeKind::Agent(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_a_name_a_field_and_a_delay() {
        let plain = Reference { name: "a", field: None, delay: 0 };
        assert_eq!(parse_reference("a"), Some(plain.clone()));
        assert_eq!(parse_reference("a.b@-2"), Some(Reference { field: Some("b"), delay: 2, ..plain }));
        for bad in ["", "a@", "a@1", "a@-0", "a.", ".b", "a.b.c", "a b", "a@-99999999999"] {
            assert_eq!(parse_reference(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_are_identifiers_of_both_languages() {
        assert_eq!(name_fault("reasoner_2"), None);
        for bad in ["", "2nd", "math-solver", "loop", "é", "task"] {
            assert!(name_fault(bad).is_some(), "{bad}");
        }
    }
}
