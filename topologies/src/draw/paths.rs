//! The lines of links as SVG path data, and where their labels go.

use std::fmt::Write as _;

use super::arrange::{Bracket, Point, Way};

/// Radius of the corners of lines that turn.
const CORNER: f64 = 8.0;

/// A line: its path data and a place for its label.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub(super) path: String,
    /// Places for its label, the best first.
    pub(super) labels: Vec<Point>,
}

/// The line of a link; nothing when a bracket stands for it.
pub(super) fn line(way: &Way) -> Option<Line> {
    match way {
        Way::Forward(points) => Some(curve(points)),
        Way::Below { start, turns, lane, end } => {
            let corners = [*start, (turns.0, start.1), (turns.0, *lane), (turns.1, *lane), (turns.1, end.1), *end];
            Some(Line { path: rounded(&corners), labels: vec![(f64::midpoint(turns.0, turns.1), *lane)] })
        }
        Way::Own(rect) => {
            let (x, y) = (rect.x + rect.width, rect.y);
            let path = format!(
                "M {:.1} {y:.1} C {:.1} {:.1} {:.1} {:.1} {x:.1} {:.1}",
                x - 20.0,
                x - 20.0,
                y - 26.0,
                x + 24.0,
                y - 16.0,
                y + 12.0
            );
            Some(Line { path, labels: vec![(x - 4.0, y - 20.0)] })
        }
        Way::Bracketed => None,
    }
}

/// A smooth line through points that go from left to right: horizontal at each of them.
fn curve(points: &[Point]) -> Line {
    let mut path = String::new();
    let [first, .., last] = points else { return Line { path, labels: Vec::new() } };
    write!(path, "M {:.1} {:.1}", first.0, first.1).ok();
    for pair in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
        if (y0 - y1).abs() < 0.05 {
            write!(path, " L {x1:.1} {y1:.1}").ok();
        } else {
            let bend = ((x1 - x0).abs() * 0.5).clamp(12.0, 60.0);
            write!(path, " C {:.1} {y0:.1} {:.1} {y1:.1} {x1:.1} {y1:.1}", x0 + bend, x1 - bend).ok();
        }
    }
    // The last stretch belongs to this link alone, even where bundled links run together before.
    let before = points[points.len() - 2];
    let bend = ((last.0 - before.0).abs() * 0.5).clamp(12.0, 60.0);
    let at = |t: f64| {
        let mix = |a: f64, b: f64, c: f64, d: f64| {
            let s = 1.0 - t;
            s * s * s * a + 3.0 * s * s * t * b + 3.0 * s * t * t * c + t * t * t * d
        };
        (mix(before.0, before.0 + bend, last.0 - bend, last.0), mix(before.1, before.1, last.1, last.1))
    };
    let along = [0.5, 0.62, 0.4, 0.72, 0.3].into_iter().map(at);
    // Where lines cross there is more room beside them.
    let labels = along.clone().chain(along.flat_map(|(x, y)| [(x, y - 14.0), (x, y + 14.0)])).collect();
    Line { path, labels }
}

/// Straight lines with rounded corners.
fn rounded(corners: &[Point]) -> String {
    let mut path = String::new();
    let Some(first) = corners.first() else { return path };
    write!(path, "M {:.1} {:.1}", first.0, first.1).ok();
    for window in corners.windows(3) {
        let (before, corner, after) = (window[0], window[1], window[2]);
        let towards = |from: Point, to: Point| {
            let (dx, dy) = (to.0 - from.0, to.1 - from.1);
            let length = dx.hypot(dy).max(1e-6);
            let radius = CORNER.min(length / 2.0);
            (from.0 + dx / length * radius, from.1 + dy / length * radius)
        };
        let (enter, leave) = (towards(corner, before), towards(corner, after));
        write!(
            path,
            " L {:.1} {:.1} Q {:.1} {:.1} {:.1} {:.1}",
            enter.0, enter.1, corner.0, corner.1, leave.0, leave.1
        )
        .ok();
    }
    if let Some(last) = corners.last() {
        write!(path, " L {:.1} {:.1}", last.0, last.1).ok();
    }
    path
}

/// A bracket: a line down the side with a foot at each member.
pub(super) fn bracket(bracket: &Bracket, foot: f64) -> String {
    let mut ends = bracket.ends.clone();
    ends.sort_by(f64::total_cmp);
    let [first, .., last] = ends.as_slice() else { return String::new() };
    let x = bracket.x;
    let mut path = format!("M {x:.1} {first:.1} L {x:.1} {last:.1}");
    for y in &ends {
        write!(path, " M {x:.1} {y:.1} L {:.1} {y:.1}", x + foot).ok();
    }
    path
}
