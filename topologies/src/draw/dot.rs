//! Graphviz dot.

use std::fmt::Write as _;

use super::picture::{Card, Kind, Look, Member, Picture};

/// The team as a Graphviz digraph.
pub fn dot(picture: &Picture) -> String {
    let mut text = String::from("digraph team {\n  rankdir=LR;\n  compound=true;\n");
    text.push_str("  graph [fontname=\"Helvetica\", fontsize=12, labeljust=l, style=rounded, color=gray60];\n");
    text.push_str("  node [fontname=\"Helvetica\", fontsize=12, shape=box, style=\"rounded,filled\", color=gray50, fillcolor=white];\n");
    text.push_str("  edge [fontname=\"Helvetica\", fontsize=10, color=gray40, fontcolor=gray30];\n");
    let title = if picture.subtitle.is_empty() {
        picture.title.clone()
    } else {
        format!("{} ({})", picture.title, picture.subtitle)
    };
    writeln!(text, "  label={};\n  labelloc=t;", quoted(&[&title])).ok();
    members(&mut text, picture, 0, 1);
    for link in &picture.links {
        let (from, to) = (anchor(picture, link.from), anchor(picture, link.to));
        let mut style = Vec::new();
        let mut labels: Vec<&str> = Vec::new();
        let delay;
        if !link.label.is_empty() {
            labels.push(&link.label);
        }
        match link.kind {
            Kind::Plain => {}
            Kind::Delayed(rounds) => {
                style.push("style=dotted, constraint=false".to_owned());
                delay = format!("{rounds} round{} later", if rounds == 1 { "" } else { "s" });
                labels.push(&delay);
            }
            Kind::Route => style.push("style=dashed".to_owned()),
            Kind::Call => style.push("style=dashed, dir=both".to_owned()),
        }
        if !labels.is_empty() {
            style.push(format!("label={}", quoted(&labels)));
        }
        if let Member::Box(index) = link.from {
            style.push(format!("ltail=cluster_{index}"));
        }
        if let Member::Box(index) = link.to {
            style.push(format!("lhead=cluster_{index}"));
        }
        writeln!(text, "  {from} -> {to} [{}];", style.join(", ")).ok();
    }
    for (index, card) in picture.cards.iter().enumerate() {
        for employee in &card.employs {
            writeln!(text, "  n{index} -> n{employee} [style=dotted, dir=both, arrowhead=odot, arrowtail=none];").ok();
        }
    }
    text.push_str("}\n");
    text
}

fn members(text: &mut String, picture: &Picture, group: usize, depth: usize) {
    let indent = "  ".repeat(depth);
    for member in &picture.boxes[group].members {
        match member {
            Member::Card(index) => {
                node(text, &picture.cards[*index], *index, &indent);
                for employee in &picture.cards[*index].employs {
                    node(text, &picture.cards[*employee], *employee, &indent);
                }
            }
            Member::Box(index) => {
                let inner = &picture.boxes[*index];
                let title = super::svg::box_title(inner);
                writeln!(
                    text,
                    "{indent}subgraph cluster_{index} {{\n{indent}  label={};",
                    quoted(&[&title, &inner.note])
                )
                .ok();
                members(text, picture, *index, depth + 1);
                writeln!(text, "{indent}}}").ok();
            }
        }
    }
}

fn node(text: &mut String, card: &Card, index: usize, indent: &str) {
    let name = if card.count > 1 { format!("{} ×{}", card.name, card.count) } else { card.name.clone() };
    let lines: Vec<&str> = std::iter::once(name.as_str()).chain(card.lines.iter().map(String::as_str)).collect();
    let mut style = format!("label={}", quoted(&lines));
    style += match card.look {
        Look::Trainable => ", color=\"#2f7d6d\", penwidth=2, fillcolor=\"#e6f4f1\"",
        Look::Frozen => "",
        Look::Function => ", style=filled, fillcolor=gray95",
    };
    if card.is_output {
        style += ", peripheries=2";
    }
    writeln!(text, "{indent}n{index} [{style}];").ok();
}

/// A node to hang an edge on: a box is represented by its first card.
fn anchor(picture: &Picture, member: Member) -> String {
    let mut member = member;
    loop {
        match member {
            Member::Card(index) => return format!("n{index}"),
            Member::Box(index) => match picture.boxes[index].members.first() {
                Some(first) => member = *first,
                None => return format!("empty_{index}"),
            },
        }
    }
}

/// A quoted string of several lines.
fn quoted(lines: &[&str]) -> String {
    let escape = |line: &&str| super::text::short(line, 60).replace('\\', "\\\\").replace('"', "\\\"");
    let lines: Vec<_> = lines.iter().filter(|line| !line.is_empty()).map(escape).collect();
    format!("\"{}\"", lines.join("\\n"))
}
