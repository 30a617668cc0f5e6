//! What all nodes have: guards, joins, maps, assignments, budgets.

use super::body::Body;
use super::scope::parse_reference;
use super::{Lowering, or};
use crate::check::{Code, Problem};
use crate::expr::{Expression, Guard};
use crate::source::Spanned;
use crate::spec::{JoinSpec, MapSpec, NodeSpec, OrderWord};
use crate::team::{Join, ListSource, Map, MapOrder, Node, VariableId};
use crate::template::Template;

/// Most copies of one node.
const MAX_COUNT: u32 = 100_000;

impl Lowering<'_> {
    /// Number of copies, at least 1.
    pub(super) fn count(&mut self, node: &NodeSpec) -> u32 {
        let Some(count) = &node.count else { return 1 };
        if count.value == 0 {
            self.report(Code::BadValue, "`count = 0` makes no node", count.span, "use at least 1, or remove the node");
        } else if count.value > MAX_COUNT {
            let message = format!("`count = {}` is not a bound", count.value);
            self.report(Code::Unbounded, message, count.span, format!("use at most {MAX_COUNT}"));
        }
        count.value.clamp(1, MAX_COUNT)
    }

    /// Fills in the declared nodes of a body.
    pub(super) fn nodes(&mut self, body: &Body<'_>) {
        for (name, spec) in body.nodes() {
            let Some(group) = body.scope.get(name) else { continue };
            let when = self.guard(spec.when.as_ref());
            let join = self.join(spec);
            let map = self.map(body, spec);
            let sets = self.sets(spec);
            let budget = self.budget(spec.budget.as_ref());
            for node in group.nodes() {
                let node: &mut Node = &mut self.team.nodes[node.index()];
                node.when.clone_from(&when);
                node.join = join;
                node.map.clone_from(&map);
                node.sets.clone_from(&sets);
                node.budget.clone_from(&budget);
            }
        }
    }

    /// Compiles a guard.
    pub(super) fn guard(&mut self, source: Option<&Spanned<String>>) -> Option<Spanned<Guard>> {
        let source = source?;
        match Guard::compile(source) {
            Ok(guard) => Some(Spanned::new(guard, source.span)),
            Err(fault) => {
                self.bad_expression(source, &fault);
                None
            }
        }
    }

    /// Compiles an expression.
    pub(super) fn expression(&mut self, source: &Spanned<String>) -> Option<Spanned<Expression>> {
        match Expression::compile(source) {
            Ok(expression) => Some(Spanned::new(expression, source.span)),
            Err(fault) => {
                self.bad_expression(source, &fault);
                None
            }
        }
    }

    fn bad_expression(&mut self, source: &Spanned<String>, fault: &str) {
        let help = "conditions are CEL, such as `critic.score >= 0.5 && round > 0`";
        self.problems.push(
            Problem::new(Code::BadExpression, format!("the expression does not compile: {fault}"), source.span)
                .help(help),
        );
    }

    /// Compiles a template.
    pub(super) fn template(&mut self, source: Option<&Spanned<String>>) -> Option<Spanned<Template>> {
        let source = source?;
        match Template::compile(source) {
            Ok(template) => Some(Spanned::new(template, source.span)),
            Err(fault) => {
                let help = "templates are Jinja: `{{ name }}`, `{% for m in messages %}…{% endfor %}`";
                self.report(Code::BadTemplate, format!("the template does not compile: {fault}"), source.span, help);
                None
            }
        }
    }

    fn join(&mut self, spec: &NodeSpec) -> Join {
        let Some(join) = &spec.join else { return Join::All };
        match &join.value {
            JoinSpec::Word(word) if word.word() == "any" => Join::First(1),
            JoinSpec::Word(_) => Join::All,
            JoinSpec::Count(0) => {
                self.report(
                    Code::BadValue,
                    "`join = 0` waits for nothing",
                    join.span,
                    "use `\"any\"`, `\"all\"`, or a number from 1",
                );
                Join::All
            }
            JoinSpec::Count(k) => Join::First(*k),
        }
    }

    fn map(&mut self, body: &Body<'_>, spec: &NodeSpec) -> Option<Map> {
        let (map, spawn) = match (&spec.map, &spec.spawn) {
            (Some(map), None) => (map, false),
            (None, Some(spawn)) => (spawn, true),
            (Some(_), Some(spawn)) => {
                self.report(
                    Code::BadCombination,
                    "`map` and `spawn` exclude each other",
                    spawn.span,
                    "keep one of the two",
                );
                return None;
            }
            (None, None) => return None,
        };
        let max = match &map.max {
            Some(max) if max.value == 0 => {
                self.report(Code::BadValue, "`max = 0` would never run", max.span, "use at least 1");
                1
            }
            Some(max) => max.value,
            None => {
                let what = if spawn { "spawn" } else { "map" };
                self.report(Code::Unbounded, format!("the {what} has no bound"), map.span, "add `max = N`");
                1
            }
        };
        let over = self.list_source(body, map.over.as_ref()?)?;
        let order = self.map_order(map, max);
        if let Some(concurrency) = &map.concurrency
            && concurrency.value == 0
        {
            self.report(
                Code::BadValue,
                "`concurrency = 0` would never run",
                concurrency.span,
                "use at least 1, or remove it",
            );
        }
        let concurrency = map.concurrency.as_ref().map(|concurrency| concurrency.value.max(1));
        Some(Map { over, max, order, concurrency, item: or(map.item.as_ref(), "item".to_owned()), spawn })
    }

    fn map_order(&mut self, map: &MapSpec, max: u32) -> MapOrder {
        let order = or(map.order.as_ref(), OrderWord::Parallel);
        if let (Some(depth), true) = (&map.max_depth, order != OrderWord::Dag) {
            self.report(Code::BadCombination, "`max_depth` has no effect", depth.span, "add `order = \"dag\"`");
        }
        match order {
            OrderWord::Parallel => MapOrder::Parallel,
            OrderWord::Chain => MapOrder::Chain,
            OrderWord::Dag => MapOrder::Dag { max_depth: or(map.max_depth.as_ref(), max).max(1) },
        }
    }

    fn list_source(&mut self, body: &Body<'_>, over: &Spanned<String>) -> Option<ListSource> {
        let Some(parsed) = parse_reference(over).filter(|parsed| parsed.delay == 0) else {
            let help = "write `node`, `node.field`, `state.name` or `task.field`";
            self.report(Code::BadValue, format!("`{}` is not a list", over.value), over.span, help);
            return None;
        };
        match (parsed.name, parsed.field) {
            ("task", Some(field)) => {
                self.check_task_field(field, over);
                Some(ListSource::Task(field.to_owned()))
            }
            ("state", Some(variable)) => {
                let id = self.variable_id(variable);
                if id.is_none() {
                    self.dangling_variable(variable, over);
                }
                id.map(ListSource::State)
            }
            (name, field) => {
                let group = body.scope.resolve(&Spanned::new(name.to_owned(), over.span), &mut self.problems)?;
                Some(ListSource::Nodes { nodes: group.nodes().collect(), field: field.map(str::to_owned) })
            }
        }
    }

    fn check_task_field(&mut self, field: &str, over: &Spanned<String>) {
        if self.team.task_fields.iter().any(|(name, _)| name == field) {
            return;
        }
        let help = format!("declare it: `[task] fields = {{ {field} = \"list\" }}`");
        self.report(Code::DanglingReference, format!("the task has no field `{field}`"), over.span, help);
    }

    fn dangling_variable(&mut self, name: &str, at: &Spanned<String>) {
        let near =
            crate::check::names::nearest(name, self.team.variables.iter().map(|variable| variable.name.as_str()));
        let help =
            near.map_or_else(|| format!("declare it: `[state.{name}]`"), |near| format!("did you mean `{near}`?"));
        self.report(Code::DanglingReference, format!("there is no state variable `{name}`"), at.span, help);
    }

    fn sets(&mut self, spec: &NodeSpec) -> Vec<(VariableId, Spanned<Expression>)> {
        let mut sets = Vec::new();
        for (name, value) in spec.sets.iter().flat_map(|sets| sets.iter()) {
            let expression = self.expression(value);
            match self.variable_id(name) {
                Some(id) => sets.extend(expression.map(|expression| (id, expression))),
                None => self.dangling_variable(name, name),
            }
        }
        sets
    }
}
