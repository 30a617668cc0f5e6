//! State variables, memories, and what a task brings.

use super::Lowering;
use super::or;
use super::scope::name_fault;
use crate::check::Code;
use crate::source::Spanned;
use crate::spec::{BodySpec, Evict, MemoryIndex, MemoryKind, PortType, Scope, TaskSpec};
use crate::team::{Memory, Variable};

impl Lowering<'_> {
    pub(super) fn task(&mut self, task: &TaskSpec) {
        for (name, kind) in task.fields.iter().flat_map(|fields| fields.iter()) {
            self.name(name);
            self.team.task_fields.push((name.value.clone(), kind.value));
        }
        self.team.task_max_tokens = task.max_tokens.as_ref().map(|max| max.value);
    }

    /// Variables of every body are one set: a team inside a team shares those it declares alike.
    pub(super) fn variables(&mut self, body: &BodySpec) {
        for (name, spec) in body.state.iter().flat_map(|state| state.iter()) {
            self.name(name);
            let kind = or(spec.kind.as_ref(), PortType::Any);
            let init = spec.init.as_ref().map(|init| init.0.clone());
            if let (Some(value), Some(at)) = (&init, &spec.init)
                && !fits(value, kind)
            {
                let message = format!("the initial value of `{}` is not {}", name.value, kind.word());
                self.report(Code::TypeMismatch, message, at.span, "change the value or the type");
            }
            let variable =
                Variable { name: name.value.clone(), kind, scope: or(spec.scope.as_ref(), Scope::Episode), init };
            match self.team.variables.iter().find(|known| known.name == variable.name) {
                None => self.team.variables.push(variable),
                Some(known) if *known == variable => {}
                Some(_) => self.conflict("variable", name),
            }
        }
    }

    pub(super) fn memories(&mut self, body: &BodySpec) {
        for (name, spec) in body.memories.iter().flat_map(|memories| memories.iter()) {
            self.name(name);
            let capacity = match &spec.capacity {
                Some(capacity) if capacity.value > 0 => capacity.value,
                Some(capacity) => {
                    self.report(Code::BadValue, "a memory of nothing holds nothing", capacity.span, "use at least 1");
                    1
                }
                None => {
                    self.report(
                        Code::Unbounded,
                        format!("the memory `{}` has no bound", name.value),
                        name.span,
                        "add `capacity = N`",
                    );
                    1
                }
            };
            let evict = or(spec.evict.as_ref(), Evict::Oldest);
            if let (Evict::Curator, None, Some(at)) = (evict, &spec.curator, &spec.evict) {
                self.report(Code::MissingKey, "`curator` is missing", at.span, "name the agent that decides what goes");
            }
            let memory = Memory {
                name: name.value.clone(),
                kind: or(spec.kind.as_ref(), MemoryKind::List),
                scope: or(spec.scope.as_ref(), Scope::Episode),
                capacity,
                evict,
                index: or(spec.index.as_ref(), MemoryIndex::Lexical),
                curator: None,
                every: or(spec.every.as_ref(), 1).max(1),
            };
            match self.team.memories.iter().find(|known| known.name == memory.name) {
                None => self.team.memories.push(memory),
                Some(known) if (Memory { curator: None, ..known.clone() }) == memory => {}
                Some(_) => self.conflict("memory", name),
            }
        }
    }

    fn name(&mut self, name: &Spanned<String>) {
        if let Some(fault) = name_fault(name) {
            self.report(Code::BadName, format!("`{}` {fault}", name.value), name.span, "rename it");
        }
    }

    fn conflict(&mut self, what: &str, name: &Spanned<String>) {
        let message = format!("the {what} `{}` is declared differently elsewhere", name.value);
        self.report(Code::DuplicateId, message, name.span, "teams of one file share these: rename one");
    }
}

/// Whether a value is of a type.
fn fits(value: &serde_json::Value, kind: PortType) -> bool {
    match kind {
        PortType::Any => true,
        PortType::Text => value.is_string(),
        PortType::Number => value.is_number(),
        PortType::Integer => value.is_i64() || value.is_u64(),
        PortType::Boolean => value.is_boolean(),
        PortType::List => value.is_array(),
        PortType::Object => value.is_object(),
    }
}
