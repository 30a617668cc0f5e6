//! The form that an agent's answers are held to: stated once, and only for who can be held to it.

use std::sync::Arc;

use super::Lowering;
use crate::check::Code;
use crate::source::{Span, Spanned};
use crate::spec::{AgentSpec, ConstrainSpec, ConstrainTable, Json};
use crate::team::{Constraint, PolicyId, PolicyKind};

impl Lowering<'_> {
    /// The form that the answers of an agent are held to.
    pub(super) fn constraint(&mut self, spec: &AgentSpec, policy: PolicyId) -> Option<Spanned<Constraint>> {
        let typed = spec.constrain.as_ref()?;
        self.can_be_held(spec, typed.span, policy);
        let found = match &typed.value {
            ConstrainSpec::Word(_) => self.own_schema(spec.schema.as_ref(), typed.span),
            ConstrainSpec::Table(table) => self.form(table, typed.span),
        };
        found.map(|constraint| Spanned::new(constraint, typed.span))
    }

    fn own_schema(&mut self, schema: Option<&Spanned<Json>>, span: Span) -> Option<Constraint> {
        if schema.is_none() {
            let message = "`constrain = \"schema\"` without a `schema`";
            let help = "add `schema = { … }`, or say `constrain = { regex = \"…\" }`";
            self.report(Code::BadCombination, message, span, help);
        }
        Some(Constraint::JsonSchema(Arc::new(schema?.0.clone())))
    }

    fn form(&mut self, table: &ConstrainTable, span: Span) -> Option<Constraint> {
        match (&table.regex, &table.json_schema) {
            (Some(regex), None) => {
                self.regex(regex, regex.span)?;
                Some(Constraint::Regex(regex.value.clone()))
            }
            (None, Some(schema)) => {
                self.json_schema(schema);
                Some(Constraint::JsonSchema(Arc::new(schema.0.clone())))
            }
            (Some(_), Some(schema)) => {
                let message = "`regex` and `json_schema` exclude each other";
                self.report(Code::BadCombination, message, schema.span, "keep one of the two");
                None
            }
            (None, None) => {
                let help = "say `\"schema\"`, `{ regex = \"…\" }` or `{ json_schema = { … } }`";
                self.report(Code::MissingKey, "`constrain` names no form", span, help);
                None
            }
        }
    }

    /// Reports who samples nothing that could be held to a form, and who could not call its tools any more.
    fn can_be_held(&mut self, spec: &AgentSpec, span: Span, policy: PolicyId) {
        let (what, native) = match &self.team.policy(policy).kind {
            PolicyKind::Scripted { .. } => (Some("a scripted policy says what it is told to"), false),
            PolicyKind::Human => (Some("a person says what they like"), false),
            PolicyKind::Local { .. } => (None, false),
            PolicyKind::Remote { native_tools, .. } => (None, native_tools.value),
        };
        if let Some(what) = what {
            let message = format!("`constrain` has no effect: {what}");
            self.report(Code::BadCombination, message, span, "leave it out; `schema` checks an answer that is there");
        }
        let json = !matches!(&spec.constrain.as_deref(), Some(ConstrainSpec::Table(table)) if table.regex.is_some());
        if let Some(tools) = spec.tools.as_ref().filter(|tools| json && !native && !tools.is_empty()) {
            let message = "an agent whose answers are held to JSON cannot write the call of a tool";
            let help = "leave `tools` or `constrain` out, or write a `regex` that allows for calls";
            self.report(Code::BadCombination, message, tools.span, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::team::Team;

    fn team(agent: &str, policy: &str) -> String {
        format!(
            "[team]\nname = \"t\"\n[agents.a]\nrole = \"R\"\npolicy = \"p\"\ntrainable = false\n{agent}\n[policies.p]\n{policy}"
        )
    }

    fn problems(agent: &str, policy: &str) -> Vec<(Code, String, String)> {
        let source = team(agent, policy);
        let report = check(&source, "team.toml");
        let place = |span: Span| source[span.start as usize..span.end as usize].to_owned();
        let problems = report.report().problems().iter();
        problems.map(|problem| (problem.code, problem.message.clone(), place(problem.span))).collect()
    }

    fn held(agent: &str) -> Option<Constraint> {
        let team = Team::parse(&team(agent, ""), "team.toml").unwrap_or_else(|report| panic!("{report:?}"));
        team.agents().next().unwrap().1.constraint.clone().map(|held| held.value)
    }

    #[test]
    fn a_form_is_the_agents_schema_or_its_own() {
        let json = |text: &str| Some(Constraint::JsonSchema(Arc::new(serde_json::from_str(text).unwrap())));
        assert_eq!(held("schema = { type = \"object\" }\nconstrain = \"schema\""), json(r#"{"type": "object"}"#));
        assert_eq!(held("constrain = { json_schema = { type = \"integer\" } }"), json(r#"{"type": "integer"}"#));
        assert_eq!(held("constrain = { regex = \"yes|no\" }"), Some(Constraint::Regex("yes|no".to_owned())));
        assert_eq!(held(""), None);
    }

    #[test]
    fn wrong_uses_are_told_where_they_stand() {
        let remote = "kind = \"remote\"\nurl = \"http://h/v1\"\nmodel = \"m\"";
        let native = format!("{remote}\nnative_tools = true");
        let scripted = "kind = \"scripted\"\nreplies = [\"x\"]";
        let calls = "tools = [\"f\"]\nconstrain = { json_schema = { type = \"object\" } }";
        let free = "tools = [\"f\"]\nconstrain = { regex = \"<tool_call>.*</tool_call>|done\" }";
        for (agent, policy, code, place) in [
            ("constrain = \"schema\"", remote, Code::BadCombination, "\"schema\""),
            ("constrain = \"shcema\"", "", Code::BadValue, "\"shcema\""),
            ("constrain = 3", "", Code::WrongType, "3"),
            ("constrain = {}", "", Code::MissingKey, "{}"),
            ("constrain = { rgex = \"a\" }", "", Code::UnknownKey, "rgex"),
            ("constrain = { regex = \"(\" }", "", Code::BadRegex, "\"(\""),
            ("constrain = { json_schema = { type = 3 } }", "", Code::BadSchema, "{ type = 3 }"),
            ("constrain = { regex = \"a\", json_schema = {} }", "", Code::BadCombination, "{}"),
            ("constrain = { regex = \"a\" }", scripted, Code::BadCombination, "{ regex = \"a\" }"),
            ("constrain = { regex = \"a\" }", "kind = \"human\"", Code::BadCombination, "{ regex = \"a\" }"),
            (calls, "", Code::BadCombination, "[\"f\"]"),
            (calls, remote, Code::BadCombination, "[\"f\"]"),
            ("", &native, Code::BadCombination, "true"),
            ("", "stream = true", Code::BadCombination, "true"),
            ("", "logprobs = true", Code::BadCombination, "true"),
        ] {
            let found = problems(agent, policy);
            assert!(found.iter().any(|(own, _, at)| (*own, at.as_str()) == (code, place)), "{agent}: {found:?}");
        }
        for (agent, policy) in [(calls, native.as_str()), (free, ""), ("constrain = { regex = \"a\" }", remote)] {
            assert_eq!(problems(agent, policy), [], "{agent}");
        }
    }
}
