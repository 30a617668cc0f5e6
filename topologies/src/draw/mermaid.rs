//! Mermaid, as code hosts draw it inside Markdown.

use std::fmt::Write as _;

use super::picture::{Card, Kind, Look, Member, Picture};

/// The team as a Mermaid flowchart.
pub fn mermaid(picture: &Picture) -> String {
    let mut text = format!("---\ntitle: \"{}\"\n---\nflowchart LR\n", title(picture));
    members(&mut text, picture, 0, 1);
    for link in &picture.links {
        let (from, to) = (id(link.from), id(link.to));
        let arrow = match link.kind {
            Kind::Plain => "-->",
            Kind::Delayed(_) | Kind::Route => "-.->",
            Kind::Call => "<-.->",
        };
        let mut labels = Vec::new();
        if let Kind::Delayed(rounds) = link.kind {
            labels.push(format!("{rounds} round{} later", if rounds == 1 { "" } else { "s" }));
        }
        if !link.label.is_empty() {
            labels.push(link.label.clone());
        }
        let label = if labels.is_empty() { String::new() } else { format!("|\"{}\"|", escaped(&labels.join(" · "))) };
        writeln!(text, "  {from} {arrow}{label} {to}").ok();
    }
    for (index, card) in picture.cards.iter().enumerate() {
        for employee in &card.employs {
            writeln!(text, "  n{index} -.-o n{employee}").ok();
        }
    }
    text.push_str("  classDef trainable stroke:#2f7d6d,stroke-width:2px\n  classDef output stroke-width:4px\n");
    for (class, chosen) in [
        ("trainable", (|card: &Card| card.look == Look::Trainable) as fn(&Card) -> bool),
        ("output", |card: &Card| card.is_output),
    ] {
        let nodes: Vec<_> =
            picture.cards.iter().enumerate().filter(|(_, card)| chosen(card)).map(|(at, _)| format!("n{at}")).collect();
        if !nodes.is_empty() {
            writeln!(text, "  class {} {class}", nodes.join(",")).ok();
        }
    }
    text
}

fn title(picture: &Picture) -> String {
    let title = if picture.subtitle.is_empty() {
        picture.title.clone()
    } else {
        format!("{} ({})", picture.title, picture.subtitle)
    };
    // The title is YAML in double quotes.
    super::text::short(&title, 120).replace('\\', "\\\\").replace('"', "\\\"")
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
                let title = [super::svg::box_title(inner), inner.note.clone()].join("<br/>");
                writeln!(text, "{indent}subgraph {}[\"{}\"]", id(*member), escaped(&title)).ok();
                members(text, picture, *index, depth + 1);
                writeln!(text, "{indent}end").ok();
            }
        }
    }
}

fn node(text: &mut String, card: &Card, index: usize, indent: &str) {
    let name = if card.count > 1 { format!("{} ×{}", card.name, card.count) } else { card.name.clone() };
    let mut lines = vec![escaped(&name)];
    lines.extend(card.lines.iter().map(|line| escaped(&super::text::short(line, 60))));
    let label = lines.join("<br/>");
    match card.look {
        Look::Function => writeln!(text, "{indent}n{index}[\"{label}\"]").ok(),
        Look::Trainable | Look::Frozen => writeln!(text, "{indent}n{index}(\"{label}\")").ok(),
    };
}

fn id(member: Member) -> String {
    match member {
        Member::Card(index) => format!("n{index}"),
        Member::Box(index) => format!("b{index}"),
    }
}

/// Mermaid's entity codes for what would end a label; line breaks stay.
fn escaped(text: &str) -> String {
    let parts: Vec<_> =
        text.split("<br/>").map(|part| super::text::xml(part).replace("&#39;", "'").replace('&', "#")).collect();
    parts.join("<br/>")
}
