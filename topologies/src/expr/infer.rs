//! Types of expressions, as far as they can be known before a run.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};

use crate::spec::PortType;

/// What an expression may refer to.
pub(crate) trait Names {
    /// Type of a plain name; `None` when there is no such name.
    fn name(&self, name: &str) -> Option<PortType>;

    /// Type of `name.field`; `None` when `name` is known to have no such field.
    fn field(&self, name: &str, field: &str) -> Option<PortType>;
}

/// Infers the type of an expression and calls `unknown` with every name (or `name.field`) that does not exist.
pub(crate) fn infer(expression: &IdedExpr, names: &dyn Names, unknown: &mut dyn FnMut(String)) -> PortType {
    Walk { names, unknown, bound: Vec::new() }.infer(expression)
}

struct Walk<'a> {
    names: &'a dyn Names,
    unknown: &'a mut dyn FnMut(String),
    bound: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    // Recursion is bounded: the parser refuses expressions deeper than its own limit.
    fn infer(&mut self, expression: &'a IdedExpr) -> PortType {
        match &expression.expr {
            Expr::Literal(literal) => match literal {
                LiteralValue::Boolean(_) => PortType::Boolean,
                LiteralValue::Int(_) | LiteralValue::UInt(_) => PortType::Integer,
                LiteralValue::Double(_) => PortType::Number,
                LiteralValue::String(_) => PortType::Text,
                LiteralValue::Bytes(_) | LiteralValue::Null => PortType::Any,
            },
            Expr::Ident(name) => self.ident(name),
            Expr::Select(select) => {
                if let Expr::Ident(name) = &select.operand.expr
                    && !self.is_bound(name)
                {
                    return self.select(name, &select.field, select.test);
                }
                self.infer(&select.operand);
                if select.test { PortType::Boolean } else { PortType::Any }
            }
            Expr::List(list) => {
                for element in &list.elements {
                    self.infer(element);
                }
                PortType::List
            }
            Expr::Map(_) | Expr::Struct(_) => {
                let mut inner = Vec::new();
                super::limits::children(expression, |child| inner.push(child));
                for child in inner {
                    self.infer(child);
                }
                PortType::Object
            }
            Expr::Call(call) => {
                let mut kinds = Vec::with_capacity(call.args.len());
                if let Some(target) = &call.target {
                    kinds.push(self.infer(target));
                }
                for argument in &call.args {
                    kinds.push(self.infer(argument));
                }
                result(&call.func_name, &kinds)
            }
            Expr::Comprehension(comprehension) => {
                self.infer(&comprehension.iter_range);
                let depth = self.bound.len();
                self.bound.push(&comprehension.iter_var);
                self.bound.extend(comprehension.iter_var2.as_deref());
                self.bound.push(&comprehension.accu_var);
                let start = self.infer(&comprehension.accu_init);
                self.infer(&comprehension.loop_cond);
                self.infer(&comprehension.loop_step);
                self.infer(&comprehension.result);
                self.bound.truncate(depth);
                // `all` and `exists` start from a flag, `map` and `filter` from a list; `exists_one` counts.
                if start == PortType::Integer { PortType::Boolean } else { start }
            }
            Expr::Unspecified => PortType::Any,
        }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.contains(&name)
    }

    fn ident(&mut self, name: &str) -> PortType {
        if name.starts_with('@') || self.is_bound(name) {
            return PortType::Any;
        }
        self.names.name(name).unwrap_or_else(|| {
            (self.unknown)(name.to_owned());
            PortType::Any
        })
    }

    fn select(&mut self, name: &str, field: &str, test: bool) -> PortType {
        if self.names.name(name).is_none() {
            (self.unknown)(name.to_owned());
            return PortType::Any;
        }
        match self.names.field(name, field) {
            _ if test => PortType::Boolean,
            Some(kind) => kind,
            None => {
                (self.unknown)(format!("{name}.{field}"));
                PortType::Any
            }
        }
    }
}

fn result(function: &str, kinds: &[PortType]) -> PortType {
    use operators as op;
    match function {
        op::EQUALS
        | op::NOT_EQUALS
        | op::LESS
        | op::LESS_EQUALS
        | op::GREATER
        | op::GREATER_EQUALS
        | op::LOGICAL_AND
        | op::LOGICAL_OR
        | op::LOGICAL_NOT
        | op::IN
        | op::NOT_STRICTLY_FALSE
        | "contains"
        | "startsWith"
        | "endsWith"
        | "matches"
        | "has" => PortType::Boolean,
        "size" | "int" | "uint" => PortType::Integer,
        "double" => PortType::Number,
        "string" => PortType::Text,
        op::CONDITIONAL => match kinds {
            [_, yes, no] if yes == no => *yes,
            _ => PortType::Any,
        },
        op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO => match kinds {
            [left, right] if left == right => *left,
            _ => PortType::Any,
        },
        op::NEGATE => kinds.first().copied().unwrap_or(PortType::Any),
        _ => PortType::Any,
    }
}
