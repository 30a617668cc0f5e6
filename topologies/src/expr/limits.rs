//! Bounds on expressions: checked on the text before the parser sees it, so that no input can exhaust its stack.

use cel::IdedExpr;
use cel::common::ast::{EntryExpr, Expr};

/// Most bytes of one expression.
pub(crate) const MAX_BYTES: usize = 2048;
/// Most brackets inside brackets.
const MAX_BRACKETS: usize = 24;

/// Refuses texts that are too long or nested too deep.
pub(super) fn check(source: &str) -> Result<(), String> {
    if source.len() > MAX_BYTES {
        return Err(format!("is {} bytes long; at most {MAX_BYTES} are allowed", source.len()));
    }
    let mut depth = 0_usize;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return Err(format!("brackets are nested more than {MAX_BRACKETS} deep"));
        }
    }
    Ok(())
}

/// Refuses a macro inside a macro, which would make a run quadratic in its lists.
pub(super) fn check_macros(expression: &IdedExpr) -> Result<(), String> {
    let mut pending = vec![(expression, false)];
    while let Some((expression, inside)) = pending.pop() {
        if let Expr::Comprehension(comprehension) = &expression.expr {
            if inside {
                return Err("`all`, `exists`, `map` and `filter` may not be nested".to_owned());
            }
            // The range is evaluated once, outside of the loop.
            pending.push((&comprehension.iter_range, inside));
            let looped =
                [&comprehension.accu_init, &comprehension.loop_cond, &comprehension.loop_step, &comprehension.result];
            pending.extend(looped.map(|part| (part, true)));
        } else {
            children(expression, |child| pending.push((child, inside)));
        }
    }
    Ok(())
}

/// Calls `visit` on the direct children of everything but a comprehension.
pub(super) fn children<'e>(expression: &'e IdedExpr, mut visit: impl FnMut(&'e IdedExpr)) {
    match &expression.expr {
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).for_each(visit),
        Expr::List(list) => list.elements.iter().for_each(visit),
        Expr::Select(select) => visit(&select.operand),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entry_children(&entry.expr, &mut visit)),
        Expr::Struct(record) => record.entries.iter().for_each(|entry| entry_children(&entry.expr, &mut visit)),
        Expr::Comprehension(_) | Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
    }
}

fn entry_children<'e>(entry: &'e EntryExpr, visit: &mut impl FnMut(&'e IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => visit(&field.value),
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key);
            visit(&entry.value);
        }
    }
}
