//! SVG, drawn here: layers left to right, colours that suit light and dark pages.

use std::fmt::Write as _;

use super::arrange::{Arrangement, LETTERS, LINE, NAME, NOTE, Rect, arrange, card_name};
use super::paths::{bracket, line};
use super::picture::{Card, Group, Kind, Look, Picture};
use super::text::{short, width, xml};

const MARGIN: f64 = 28.0;
const HEAD: f64 = 54.0;
const LEGEND: f64 = 34.0;

const STYLE: &str = "
  text { font-family: system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2933; }
  .page { fill: #ffffff; }
  .name { font-size: 14px; font-weight: 600; }
  .line, .label, .legend { font-size: 11px; fill: #5b6673; }
  .title { font-size: 18px; font-weight: 700; }
  .box { fill: #5b6673; fill-opacity: 0.05; stroke: #9aa5b1; stroke-width: 1.2; }
  .card { fill: #ffffff; stroke: #9aa5b1; stroke-width: 1.3; }
  .function { fill: #eef1f4; }
  .trainable { fill: #edf8f5; stroke: #2a8571; stroke-width: 2; }
  .task { fill: #d97706; }
  .link { fill: none; stroke: #6b7785; stroke-width: 1.5; }
  .later { stroke-dasharray: 2 4; stroke-linecap: round; }
  .route { stroke-dasharray: 7 4; stroke: #7c5cc4; }
  .staff { stroke-dasharray: 1 3; stroke-linecap: round; }
  .tip { fill: #6b7785; }
  .routetip { fill: #7c5cc4; }
  .plate { fill: #ffffff; fill-opacity: 0.9; }
  .output { fill: none; stroke: #6b7785; stroke-width: 1.2; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e9ee; }
    .page { fill: #14181d; }
    .line, .label, .legend { fill: #a7b1bc; }
    .box { fill: #a7b1bc; stroke: #55606c; }
    .card { fill: #20262d; stroke: #6b7785; }
    .function { fill: #2a323a; }
    .trainable { fill: #17332d; stroke: #4cc3a5; }
    .link { stroke: #8a95a1; }
    .route { stroke: #a78bfa; }
    .tip { fill: #8a95a1; }
    .routetip { fill: #a78bfa; }
    .plate { fill: #14181d; }
    .output { stroke: #8a95a1; }
  }
";

/// The team as an SVG document.
pub fn svg(picture: &Picture) -> String {
    let found = arrange(picture);
    let legend = legend_entries(picture);
    let subtitle = short(&picture.subtitle, 110);
    let title_width = (width(&picture.title) * 18.0).max(width(&subtitle) * LINE);
    let legend_width: f64 = legend.iter().map(|entry| legend_step(entry.1)).sum();
    let page_width = found.boxes[0].width.max(title_width).max(legend_width) + MARGIN * 2.0;
    let page_height = found.boxes[0].height + HEAD + LEGEND + MARGIN * 2.0;
    let mut out = String::new();
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {page_width:.0} {page_height:.0}\" \
         width=\"{page_width:.0}\" height=\"{page_height:.0}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>",
        xml(&picture.title)
    )
    .ok();
    out.push_str(TIPS);
    writeln!(out, "<rect class=\"page\" width=\"100%\" height=\"100%\"/>").ok();
    writeln!(
        out,
        "<text class=\"title\" x=\"{MARGIN}\" y=\"{:.0}\">{}</text>",
        MARGIN + 14.0,
        xml(&short(&picture.title, 80))
    )
    .ok();
    writeln!(out, "<text class=\"line\" x=\"{MARGIN}\" y=\"{:.0}\">{}</text>", MARGIN + 32.0, xml(&subtitle)).ok();
    let left = (page_width - found.boxes[0].width) / 2.0;
    writeln!(out, "<g transform=\"translate({left:.1} {:.1})\">", MARGIN + HEAD - 8.0).ok();
    body(&mut out, picture, &found);
    out.push_str("</g>\n");
    write_legend(&mut out, &legend, page_height - MARGIN + 4.0);
    out.push_str("</svg>\n");
    out
}

const TIPS: &str = "<defs>
<marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\"><path class=\"tip\" d=\"M0 0.6 L8 4 L0 7.4 z\"/></marker>
<marker id=\"routetip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto-start-reverse\"><path class=\"routetip\" d=\"M0 0.6 L8 4 L0 7.4 z\"/></marker>
</defs>
";

fn body(out: &mut String, picture: &Picture, found: &Arrangement) {
    for (index, group) in picture.boxes.iter().enumerate().skip(1) {
        write_box(out, group, found.boxes[index]);
    }
    for (link, way) in picture.links.iter().zip(&found.links) {
        let Some(line) = line(way) else { continue };
        let (class, tips) = match link.kind {
            Kind::Plain => ("link", "marker-end=\"url(#tip)\""),
            Kind::Delayed(_) => ("link later", "marker-end=\"url(#tip)\""),
            Kind::Route => ("link route", "marker-end=\"url(#routetip)\""),
            Kind::Call => ("link route", "marker-start=\"url(#routetip)\" marker-end=\"url(#routetip)\""),
        };
        writeln!(out, "<path class=\"{class}\" d=\"{}\" {tips}/>", line.path).ok();
    }
    for found in &found.brackets {
        writeln!(out, "<path class=\"link later\" d=\"{}\"/>", bracket(found, 14.0)).ok();
    }
    for (index, card) in picture.cards.iter().enumerate() {
        for employee in &card.employs {
            let (from, to) = (found.cards[index], found.cards[*employee]);
            let (x0, x1) = (from.x + from.width / 2.0, to.x + to.width / 2.0);
            writeln!(
                out,
                "<path class=\"link staff\" d=\"M {x0:.1} {:.1} L {x1:.1} {:.1}\" marker-end=\"url(#tip)\"/>",
                from.y + from.height,
                to.y
            )
            .ok();
        }
    }
    for (index, card) in picture.cards.iter().enumerate() {
        if found.cards[index].width > 0.0 {
            write_card(out, card, found.cards[index]);
        }
    }
    let mut taken: Vec<Rect> = found.cards.clone();
    for (link, way) in picture.links.iter().zip(&found.links) {
        let (Some(line), label) = (line(way), short(&link_label(link), LETTERS)) else { continue };
        let wide = width(&label) * LINE + 8.0;
        let plate = |(x, y): (f64, f64)| Rect { x: x - wide / 2.0, y: y - 7.5, width: wide, height: 15.0 };
        let free = |place: &&(f64, f64)| !taken.iter().any(|other| overlap(*other, plate(**place)));
        let Some(place) = line.labels.iter().find(free).or(line.labels.first()).filter(|_| !label.is_empty()) else {
            continue;
        };
        taken.push(plate(*place));
        write_label(out, &label, plate(*place));
    }
    for found in &found.brackets {
        let (top, bottom) =
            found.ends.iter().fold((f64::INFINITY, 0.0_f64), |(top, bottom), y| (top.min(*y), bottom.max(*y)));
        let (x, y) = (found.x - 7.0, f64::midpoint(top, bottom));
        writeln!(
            out,
            "<text class=\"label\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 {x:.1} {y:.1})\">\
             all hear each other, {}</text>",
            later(found.delay)
        )
        .ok();
    }
}

fn overlap(one: Rect, other: Rect) -> bool {
    one.x < other.x + other.width
        && other.x < one.x + one.width
        && one.y < other.y + other.height
        && other.y < one.y + one.height
}

fn link_label(link: &super::picture::Link) -> String {
    match link.kind {
        Kind::Delayed(delay) if delay > 1 => format!("{} {}", later(delay), link.label),
        _ => link.label.clone(),
    }
}

fn later(delay: u32) -> String {
    if delay == 1 { "next round".to_owned() } else { format!("{delay} rounds later") }
}

fn write_label(out: &mut String, label: &str, Rect { x, y, width, height }: Rect) {
    writeln!(
        out,
        "<rect class=\"plate\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\"/>\
         <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        x + width / 2.0,
        y + 11.5,
        xml(label)
    )
    .ok();
}

/// A box's title, with the number of replicas.
pub(super) fn box_title(group: &Group) -> String {
    let title = short(&group.title, LETTERS);
    if group.count > 1 { format!("{title} ×{}", group.count) } else { title }
}

fn write_box(out: &mut String, group: &Group, at: Rect) {
    if at.width == 0.0 {
        return;
    }
    let Rect { x, y, width, height } = at;
    for copy in (1..group.count.min(3)).rev() {
        let shift = f64::from(copy) * 5.0;
        writeln!(
            out,
            "<rect class=\"box\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"12\"/>",
            x + shift,
            y - shift
        )
        .ok();
    }
    writeln!(
        out,
        "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"12\"/>"
    )
    .ok();
    writeln!(out, "<text class=\"name\" x=\"{:.1}\" y=\"{:.1}\">{}</text>", x + 14.0, y + 20.0, xml(&box_title(group)))
        .ok();
    writeln!(
        out,
        "<text class=\"line\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        x + 14.0,
        y + 35.0,
        xml(&short(&group.note, NOTE))
    )
    .ok();
    marks(out, at, group.sees_task, group.is_output);
}

fn write_card(out: &mut String, card: &Card, at: Rect) {
    let Rect { x, y, width, height } = at;
    let (look, round) = match card.look {
        Look::Trainable => ("card trainable", 9),
        Look::Frozen => ("card", 9),
        Look::Function => ("card function", 2),
    };
    for copy in (1..card.count.min(3)).rev() {
        let shift = f64::from(copy) * 4.0;
        writeln!(
            out,
            "<rect class=\"{look}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round}\"/>",
            x + shift,
            y - shift
        )
        .ok();
    }
    writeln!(
        out,
        "<rect class=\"{look}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{round}\"/>"
    )
    .ok();
    let middle = x + width / 2.0;
    writeln!(
        out,
        "<text class=\"name\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
        y + 8.0 + NAME,
        xml(&card_name(card))
    )
    .ok();
    for (at, line) in card.lines.iter().enumerate() {
        writeln!(
            out,
            "<text class=\"line\" x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            y + 39.0 + at as f64 * 15.0,
            xml(&short(line, LETTERS))
        )
        .ok();
    }
    marks(out, at, card.sees_task, card.is_output);
}

/// A dot at the upper left for whoever sees the task, a second border for whoever speaks for the team.
#[expect(clippy::fn_params_excessive_bools, reason = "one bool for each of the two marks")]
fn marks(out: &mut String, at: Rect, sees_task: bool, is_output: bool) {
    if sees_task {
        writeln!(out, "<circle class=\"task\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>", at.x + 3.0, at.y + 3.0).ok();
    }
    if is_output {
        writeln!(
            out,
            "<rect class=\"output\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"12\"/>",
            at.x - 4.0,
            at.y - 4.0,
            at.width + 8.0,
            at.height + 8.0
        )
        .ok();
    }
}

/// What the legend explains: a drawing and a word.
fn legend_entries(picture: &Picture) -> Vec<(String, &'static str)> {
    let card = |class: &str, round: u32| {
        format!("<rect class=\"card {class}\" x=\"0\" y=\"-9\" width=\"22\" height=\"13\" rx=\"{round}\"/>")
    };
    let stroke = |class: &str| format!("<path class=\"link {class}\" d=\"M 0 -3 L 24 -3\"/>");
    let look = |look: Look| picture.cards.iter().any(|card| card.look == look);
    let mut entries = Vec::new();
    let mut add = |shown: bool, mark: String, word: &'static str| {
        if shown {
            entries.push((mark, word));
        }
    };
    add(look(Look::Trainable), card("trainable", 4), "trained");
    add(look(Look::Frozen), card("", 4), "not trained");
    add(look(Look::Function), card("function", 1), "function");
    let task = picture.cards.iter().any(|card| card.sees_task) || picture.boxes.iter().any(|group| group.sees_task);
    add(task, "<circle class=\"task\" cx=\"11\" cy=\"-3\" r=\"4\"/>".to_owned(), "sees the task");
    let output = picture.cards.iter().any(|card| card.is_output) || picture.boxes.iter().any(|group| group.is_output);
    add(
        output,
        "<rect class=\"output\" x=\"-2\" y=\"-11\" width=\"26\" height=\"17\" rx=\"6\"/><rect class=\"card\" x=\"1\" y=\"-8\" width=\"20\" height=\"11\" rx=\"4\"/>".to_owned(),
        "the team's output",
    );
    add(picture.has(|kind| matches!(kind, Kind::Delayed(_))), stroke("later"), "heard a round later");
    add(picture.has(|kind| matches!(kind, Kind::Route | Kind::Call)), stroke("route"), "chosen by a router");
    add(picture.cards.iter().any(|card| !card.employs.is_empty()), stroke("staff"), "asks");
    entries
}

fn legend_step(word: &str) -> f64 {
    32.0 + width(word) * LINE + 20.0
}

fn write_legend(out: &mut String, entries: &[(String, &'static str)], y: f64) {
    let mut x = MARGIN;
    for (mark, word) in entries {
        writeln!(
            out,
            "<g transform=\"translate({x:.1} {y:.1})\">{mark}<text class=\"legend\" x=\"32\" y=\"1\">{word}</text></g>"
        )
        .ok();
        x += legend_step(word);
    }
}
