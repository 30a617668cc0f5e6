//! Drawings of a team: Graphviz dot, Mermaid, and SVG without an external program.
//!
//! All three show the same [`Picture`]: replicas as one stacked card, blocks as boxes with their rounds, guards on
//! edges, router edges dashed, edges from the round before dotted, trainable agents marked.

mod arrange;
mod cards;
mod dot;
mod layers;
mod mermaid;
mod paths;
mod picture;
mod svg;
mod text;

pub use dot::dot;
pub use mermaid::mermaid;
pub use picture::Picture;
pub use svg::svg;

#[cfg(test)]
mod tests {
    use super::arrange::{Rect, Way, arrange};
    use super::*;
    use crate::{Team, catalog};

    fn picture(text: &str) -> Picture {
        Picture::of(&Team::parse(text, "test.toml").unwrap())
    }

    fn apart(one: Rect, other: Rect) -> bool {
        one.x + one.width <= other.x
            || other.x + other.width <= one.x
            || one.y + one.height <= other.y
            || other.y + other.height <= one.y
    }

    #[test]
    fn no_two_cards_of_the_catalog_overlap_and_all_lie_on_the_page() {
        for entry in catalog::ENTRIES {
            let picture = picture(entry.text);
            let found = arrange(&picture);
            let drawn: Vec<Rect> = found.cards.iter().copied().filter(|card| card.width > 0.0).collect();
            let page = found.boxes[0];
            for (at, card) in drawn.iter().enumerate() {
                assert!(drawn[at + 1..].iter().all(|other| apart(*card, *other)), "{}", entry.name);
                let inside = card.x >= -0.01 && card.x + card.width <= page.width + 0.01;
                assert!(inside && card.y + card.height <= page.height + 0.01, "{}", entry.name);
            }
            let forward = found.links.iter().filter_map(|way| match way {
                Way::Forward(points) => Some(points),
                _ => None,
            });
            for points in forward {
                let leads_right = points.windows(2).all(|pair| pair[0].0 <= pair[1].0 + 0.01);
                assert!(leads_right, "{}: {points:?}", entry.name);
            }
        }
    }

    #[test]
    fn twelve_debaters_are_bracketed_not_woven() {
        let names: Vec<_> = (0..12).map(|at| format!("d{at}")).collect();
        let mut text = String::from("[team]\nname = \"twelve\"\nrounds = { max = 2 }\n");
        for name in &names {
            let others: Vec<_> =
                names.iter().filter(|other| *other != name).map(|other| format!("\"{other}@-1\"")).collect();
            text.extend([format!("[agents.{name}]\nrole = \"r\"\nsees = [\"task\", {}]\n", others.join(", "))]);
        }
        let found = arrange(&picture(&text));
        assert_eq!(found.brackets.len(), 1);
        assert_eq!(found.brackets[0].ends.len(), 12);
        assert!(found.links.iter().all(|way| matches!(way, Way::Bracketed)));
    }

    #[test]
    fn hostile_words_stay_words() {
        let text = "[team]\nname = \"</text><script>\"\n[agents.a]\nrole = \"r\"\nwhen = \"'<b>&]]>\\\"' != ''\"\n";
        let picture = picture(text);
        let drawn = svg(&picture);
        assert!(!drawn.contains("<script>") && !drawn.contains("<b>"), "{drawn}");
        assert!(drawn.contains("&lt;/text&gt;&lt;script&gt;"));
        assert!(dot(&picture).contains("]]>\\\"' !="), "a quote would end the label");
        assert!(!mermaid(&picture).contains("<b>"));
    }
}
