//! Agents: their policies, sampling, output fields and memories.

use std::sync::Arc;

use regex::RegexBuilder;

use super::body::Body;
use super::{Lowering, or};
use crate::check::Code;
use crate::check::names::nearest;
use crate::source::{Span, Spanned};
use crate::spec::{AgentSpec, Context, FieldSpec, FieldTable, OnParseErrorSpec, ParseErrorWord, PortType};
use crate::team::{
    Agent, Field, Find, MemoryId, NodeId, NodeKind, OnParseError, Optimizer, Output, PolicyId, Visibility,
};
use crate::template::Template;

/// What never leaves an agent unless its file says otherwise.
const THINKING: &str = "<think>.*?(</think>|$)";
/// Most memory of one compiled regex.
const REGEX_BYTES: usize = 1 << 20;
/// Tool calls per turn when the file does not say.
const TOOL_CALLS: u32 = 4;
/// Most retries of an unparsed output.
const MAX_RETRIES: u32 = 100;

impl Lowering<'_> {
    pub(super) fn agents(&mut self, body: &Body<'_>) {
        for (name, spec) in body.spec.agents.iter().flat_map(|agents| agents.iter()) {
            let Some(group) = body.scope.get(name) else { continue };
            let agent = Arc::new(self.agent(body, name, spec));
            for node in group.nodes() {
                self.team.nodes[node.index()].kind = NodeKind::Agent(Arc::clone(&agent));
            }
        }
    }

    fn agent(&mut self, body: &Body<'_>, name: &Spanned<String>, spec: &Spanned<AgentSpec>) -> Agent {
        if let Some(role) = &spec.role
            && role.trim().is_empty()
        {
            self.report(Code::BadValue, "the role is empty", role.span, "say in a sentence what the agent does");
        }
        let role = self.template(spec.role.as_ref());
        let policy = self.policy_id(spec.policy.as_ref().map_or(name.as_str(), |policy| policy.as_str()));
        let sampling = spec.sampling.as_ref().map_or_else(|| body.sampling.clone(), |own| own.over(&body.sampling));
        let local = self.team.policy(policy).kind.is_local();
        let trainable = or(spec.trainable.as_ref(), local);
        let tools: Vec<String> =
            spec.tools.iter().flat_map(|tools| tools.iter()).map(|tool| tool.value.clone()).collect();
        if let (Some(calls), true) = (&spec.max_tool_calls, tools.is_empty()) {
            self.report(Code::BadCombination, "`max_tool_calls` has no effect", calls.span, "add `tools = [\"…\"]`");
        }
        let max_tool_calls = if tools.is_empty() { 0 } else { or(spec.max_tool_calls.as_ref(), TOOL_CALLS) };
        self.untrainable(spec, name, policy);
        Agent {
            role: role.unwrap_or_else(|| Spanned::new(Template::literal(""), name.span)),
            prompt: self.template(spec.prompt.as_ref()),
            policy,
            sampling: self.sampling(&sampling),
            output: self.output(body, spec),
            constraint: self.constraint(spec, policy),
            tools,
            max_tool_calls,
            reads: self.memory_ids(spec.reads.as_ref()),
            writes: self.memory_ids(spec.writes.as_ref()),
            context: or(spec.context.as_ref(), Context::Grow),
            window: spec.window.as_ref().map(|window| window.value),
            trainable,
            graded: or(spec.graded.as_ref(), false),
            optimizer: spec.optimizer.as_ref().map(|optimizer| self.optimizer(optimizer)),
            device: spec.device.as_ref().map(|device| device.value.clone()),
            vars: spec
                .vars
                .iter()
                .flat_map(|vars| vars.iter())
                .map(|(name, value)| (name.value.clone(), value.0.clone()))
                .collect(),
        }
    }

    fn untrainable(&mut self, spec: &AgentSpec, name: &Spanned<String>, policy: PolicyId) {
        let local = self.team.policy(policy).kind.is_local();
        let trainable = or(spec.trainable.as_ref(), local);
        if trainable && !local {
            let span = spec.trainable.as_ref().map_or(name.span, |trainable| trainable.span);
            let message = format!("`{}` cannot be trained: its policy is not local", name.value);
            self.report(Code::Untrainable, message, span, "remove `trainable = true`, or give it a local policy");
        } else if let (Some(optimizer), false) = (&spec.optimizer, trainable) {
            let message = format!("`{}` is frozen but has an optimiser", name.value);
            self.report(
                Code::FrozenOptimizer,
                message,
                optimizer.span,
                "remove `optimizer`, or set `trainable = true`",
            );
        }
    }

    fn optimizer(&mut self, spec: &crate::spec::OptimizerSpec) -> Optimizer {
        let mut positive = |value: &Option<Spanned<f64>>, zero: bool| {
            let value = value.as_ref()?;
            if value.value < 0.0 || (value.value == 0.0 && !zero) {
                self.report(
                    Code::BadValue,
                    format!("{} is not positive", value.value),
                    value.span,
                    "use a positive number",
                );
            }
            Some(value.value)
        };
        Optimizer {
            lr: positive(&spec.lr, false),
            weight_decay: positive(&spec.weight_decay, true),
            clip: positive(&spec.clip, false),
        }
    }

    fn memory_ids(&mut self, names: Option<&Spanned<Vec<Spanned<String>>>>) -> Vec<MemoryId> {
        let mut ids = Vec::new();
        for name in names.iter().flat_map(|names| names.iter()) {
            if let Some(id) = self.memory_id(name) {
                ids.push(id);
                continue;
            }
            let near = nearest(name, self.team.memories.iter().map(|memory| memory.name.as_str()));
            let help = near.map_or_else(
                || format!("declare it: `[memories.{}]`", name.value),
                |near| format!("did you mean `{near}`?"),
            );
            self.report(Code::DanglingReference, format!("there is no memory `{}`", name.value), name.span, help);
        }
        ids
    }

    fn output(&mut self, body: &Body<'_>, spec: &Spanned<AgentSpec>) -> Output {
        let mut fields = Vec::new();
        let schema = spec.schema.as_ref().map(|schema| {
            self.json_schema(schema);
            fields.extend(properties(&schema.0));
            Arc::new(schema.0.clone())
        });
        for (name, field) in spec.output.iter().flat_map(|output| output.iter()) {
            if let Some(fault) = super::scope::name_fault(name).filter(|_| !matches!(name.as_str(), "done" | "index")) {
                self.report(Code::BadName, format!("`{}` {fault}", name.value), name.span, "rename it");
            } else if matches!(name.as_str(), "text" | "spoke" | "tokens" | "logprob" | "value" | "from") {
                let message = format!("every message has `{}` already", name.value);
                self.report(Code::BadName, message, name.span, "rename it");
            }
            if let Some(field) = self.field(body, name, field, spec.schema.is_some()) {
                fields.retain(|known: &Field| known.name != field.name);
                fields.push(field);
            }
        }
        let scratch = match &spec.scratch {
            Some(text) if text.is_empty() => None,
            Some(text) => self.regex(text, text.span),
            None => self.regex(THINKING, spec.span),
        };
        Output { fields, schema, on_parse_error: self.on_parse_error(spec.on_parse_error.as_ref()), scratch }
    }

    fn field(
        &mut self,
        body: &Body<'_>,
        name: &Spanned<String>,
        spec: &Spanned<FieldSpec>,
        json: bool,
    ) -> Option<Field> {
        let blank = FieldTable::default();
        let (regex, table) = match &spec.value {
            FieldSpec::Regex(regex) => (Some(Spanned::new(regex.clone(), spec.span)), &blank),
            FieldSpec::Table(table) => (table.regex.clone(), &**table),
        };
        let find = match regex {
            Some(regex) => Find::Regex(self.regex(&regex, regex.span)?),
            None if json => Find::Property,
            None => {
                let message = format!("the field `{}` is found nowhere", name.value);
                self.report(Code::MissingKey, message, spec.span, "add `regex = \"…\"`, or a `schema` to the agent");
                return None;
            }
        };
        let visible = match (or(table.private.as_ref(), false), &table.visible_to) {
            (true, Some(visible)) => {
                self.report(
                    Code::BadCombination,
                    "`private` and `visible_to` exclude each other",
                    visible.span,
                    "keep one of the two",
                );
                Visibility::Private
            }
            (true, None) => Visibility::Private,
            (false, Some(names)) => Visibility::Only(self.visible_to(body, names)),
            (false, None) => Visibility::Public,
        };
        Some(Field {
            name: name.value.clone(),
            find,
            kind: or(table.kind.as_ref(), PortType::Text),
            max_items: table.max_items.as_ref().map(|max| max.value),
            required: or(table.required.as_ref(), true),
            visible,
        })
    }

    fn visible_to(&mut self, body: &Body<'_>, names: &[Spanned<String>]) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for name in names {
            if let Some(group) = body.scope.resolve(name, &mut self.problems) {
                nodes.extend(group.nodes());
            }
        }
        nodes
    }

    pub(super) fn regex(&mut self, source: &str, span: Span) -> Option<regex::Regex> {
        // Agents have the same few regexes, and compiling one costs far more than looking it up.
        if let Some(known) = self.regexes.get(source) {
            return Some(known.clone());
        }
        match RegexBuilder::new(source).size_limit(REGEX_BYTES).dot_matches_new_line(true).build() {
            Ok(regex) => {
                self.regexes.insert(source.to_owned(), regex.clone());
                Some(regex)
            }
            Err(error) => {
                let text = error.to_string();
                let fault = text.lines().last().unwrap_or_default().trim().trim_start_matches("error: ");
                self.report(
                    Code::BadRegex,
                    format!("the regex does not compile: {fault}"),
                    span,
                    "regexes are linear-time: no look-around, no back-references",
                );
                None
            }
        }
    }

    pub(super) fn json_schema(&mut self, schema: &Spanned<crate::spec::Json>) {
        if let Err(error) = jsonschema::validator_for(&schema.0) {
            self.report(
                Code::BadSchema,
                format!("the JSON Schema does not compile: {error}"),
                schema.span,
                "see https://json-schema.org/understanding-json-schema",
            );
        }
    }

    fn on_parse_error(&mut self, spec: Option<&Spanned<OnParseErrorSpec>>) -> OnParseError {
        match spec.map(|spec| &spec.value) {
            None => OnParseError { retries: 0, then: ParseErrorWord::Keep },
            Some(OnParseErrorSpec::Word(word)) => OnParseError { retries: 0, then: *word },
            Some(OnParseErrorSpec::Table(table)) => {
                let retries = table.retry.as_ref().map_or(0, |retry| retry.value);
                if let Some(retry) = table.retry.as_ref().filter(|retry| retry.value > MAX_RETRIES) {
                    self.report(
                        Code::Unbounded,
                        format!("{} retries are not a bound", retry.value),
                        retry.span,
                        format!("use at most {MAX_RETRIES}"),
                    );
                }
                OnParseError { retries: retries.min(MAX_RETRIES), then: or(table.then.as_ref(), ParseErrorWord::Keep) }
            }
        }
    }
}

/// Top-level properties of a JSON Schema as fields.
fn properties(schema: &serde_json::Value) -> Vec<Field> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    properties
        .map(|(name, property)| Field {
            name: name.clone(),
            find: Find::Property,
            kind: match property["type"].as_str() {
                Some("string") => PortType::Text,
                Some("number") => PortType::Number,
                Some("integer") => PortType::Integer,
                Some("boolean") => PortType::Boolean,
                Some("array") => PortType::List,
                Some("object") => PortType::Object,
                _ => PortType::Any,
            },
            max_items: property["maxItems"].as_u64().and_then(|max| u32::try_from(max).ok()),
            required: required.contains(&name.as_str()),
            visible: Visibility::Public,
        })
        .collect()
}
