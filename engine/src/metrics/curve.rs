//! Curves: a training curve as SVG for a report, and as block letters for a terminal.

use std::fmt::Write as _;

/// One named line of `(step, value)` points.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// What the line is.
    pub name: String,
    /// Its points, steps rising.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 48.0;
/// Colours that people with any colour vision tell apart (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/// A line chart of the curves, on a white ground.
pub fn svg(title: &str, x_label: &str, curves: &[Curve]) -> String {
    let (x_range, y_range) = (range(curves, |p| p.0), padded(range(curves, |p| p.1)));
    let x = |value: f64| LEFT + (value - x_range.0) / (x_range.1 - x_range.0) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - (value - y_range.0) / (y_range.1 - y_range.0) * (HEIGHT - TOP - BOTTOM);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"600\" fill=\"#222\">{}</text>\n",
        escape(title)
    );
    for tick in ticks(y_range) {
        let at = y(tick);
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            at + 4.0,
            number(tick)
        );
    }
    for tick in ticks(x_range) {
        let at = x(tick);
        let below = HEIGHT - BOTTOM + 20.0;
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{below:.1}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
            number(tick)
        );
    }
    let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
    let foot = HEIGHT - 8.0;
    let _ = writeln!(
        out,
        "<text x=\"{middle}\" y=\"{foot}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
        escape(x_label)
    );
    let mut legend = LEFT;
    for (curve, colour) in curves.iter().zip(COLOURS.iter().cycle()) {
        let points = curve.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite());
        let path: Vec<String> = points.map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1))).collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-linejoin=\"round\"/>\
             <rect x=\"{legend:.1}\" y=\"36\" width=\"12\" height=\"4\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"43\" fill=\"#222\">{}</text>",
            path.join(" "),
            legend + 18.0,
            escape(&curve.name)
        );
        legend += 36.0 + 7.5 * curve.name.chars().count() as f64;
    }
    out.push_str("</svg>\n");
    out
}

/// A curve in `width` characters: eight heights of block letters between the lowest and the highest value.
///
/// ```
/// use marft_engine::metrics::sparkline;
/// assert_eq!(sparkline(&[0.0, 0.5, 1.0], 3), "▁▅█");
/// ```
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if values.is_empty() || width == 0 {
        return String::new();
    }
    let columns = width.min(values.len());
    let means: Vec<f64> = (0..columns)
        .map(|at| {
            let part = &values[at * values.len() / columns..(at + 1) * values.len() / columns];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let scale = if high > low { 7.0 / (high - low) } else { 0.0 };
    means.iter().map(|mean| BLOCKS[((mean - low) * scale).round() as usize]).collect()
}

fn range(curves: &[Curve], of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
    let values = curves.iter().flat_map(|curve| &curve.points).map(of).filter(|value| value.is_finite());
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    match () {
        () if low > high => (0.0, 1.0),
        () if low == high => (low - 0.5, high + 0.5),
        () => (low, high),
    }
}

/// Shares are shown from 0 to 1, so that runs can be compared by eye.
fn padded((low, high): (f64, f64)) -> (f64, f64) {
    if low >= 0.0 && high <= 1.0 { (0.0, 1.0) } else { (low - 0.05 * (high - low), high + 0.05 * (high - low)) }
}

/// Four to eight round numbers within the range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    (first..).map(|i| i as f64 * step).take_while(|tick| *tick <= high + step * 1e-9).take(16).collect()
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            ticks((0.0, 1.0)).iter().map(|t| number(*t)).collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(ticks((3.0, 47.0)).len(), 4);
    }

    #[test]
    fn a_chart_holds_its_curves_and_no_foreign_markup() {
        let curve = Curve { name: "a<b".to_owned(), points: vec![(0.0, 0.1), (10.0, 0.9), (20.0, f64::NAN)] };
        let chart = svg("x & y", "step", &[curve]);
        assert!(chart.contains("a&lt;b") && chart.contains("x &amp; y") && !chart.contains("NaN"));
        assert!(svg("empty", "step", &[]).ends_with("</svg>\n"));
    }

    #[test]
    fn sparklines_fit_their_width() {
        assert_eq!(sparkline(&[1.0; 5], 3), "▁▁▁");
        assert_eq!(sparkline(&[], 3), "");
        assert_eq!(sparkline(&(0..100).map(f64::from).collect::<Vec<_>>(), 10).chars().count(), 10);
    }
}
