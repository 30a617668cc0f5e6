//! Hostile input: garbage, depth, size and mutations are answered with problems, never with a panic or a hang.

use marft_topologies::check::{Code, check};
use proptest::prelude::*;

/// A file that uses most of the format.
const RICH: &str = include_str!("fixtures/rich.toml");

fn codes(text: &str) -> Vec<Code> {
    let report = check(text, "hostile.toml");
    // Rendering must survive whatever checking survived.
    assert_eq!(report.report().render(false, 80).is_empty(), report.is_ok());
    report.report().problems().iter().map(|problem| problem.code).collect()
}

#[test]
fn the_rich_file_is_valid() {
    let report = check(RICH, "rich.toml");
    assert!(report.is_ok(), "{}", report.report().render(false, 100));
}

#[test]
fn a_megabyte_of_garbage_is_one_clear_error() {
    let noise: String =
        (0..1_000_000_u32).map(|i| char::from(33 + (i.wrapping_mul(2_654_435_761) >> 25) as u8 % 94)).collect();
    for garbage in [
        noise,
        "[".repeat(1_000_000),
        "{".repeat(1_000_000),
        "=\n".repeat(500_000),
        "\u{1b}[31m".repeat(200_000),
        "\"".repeat(1_000_001),
    ] {
        let report = check(&garbage, "garbage.toml");
        assert_eq!(report.report().problems().len(), 1);
        assert_eq!(report.report().problems()[0].code, Code::Syntax);
        let shown = report.report().render(false, 80);
        assert!(shown.len() < 4_000, "{} bytes", shown.len());
        assert!(!shown.contains('\u{1b}'));
    }
}

#[test]
fn depth_is_refused_before_it_can_overflow_the_stack() {
    let head = "[team]\nname = \"deep\"\n";
    let dotted = format!("{head}[agents.a]\nrole = \"r\"\nvars.{} = 1\n", vec!["a"; 400_000].join("."));
    assert_eq!(codes(&dotted), [Code::TooDeep]);
    let header = format!("[{}]\nx = 1\n", vec!["teams"; 400_000].join("."));
    assert_eq!(codes(&header), [Code::TooDeep]);
    let lists = format!("{head}x = {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(codes(&lists), [Code::Syntax]);
    let mut teams = head.to_owned();
    let mut table = String::from("teams.t");
    for _ in 0..14 {
        teams += &format!("[{table}]\n");
        table += ".teams.t";
    }
    teams += &format!("[{table}.agents.a]\nrole = \"r\"\n");
    assert!(codes(&teams).contains(&Code::TooDeep));
    let brackets = format!("{head}[agents.a]\nrole = \"r\"\nwhen = \"{}\"\n", "(".repeat(200_000));
    assert_eq!(codes(&brackets), [Code::BadExpression]);
    let negations = format!("{head}[agents.a]\nrole = \"r\"\nwhen = \"{}true\"\n", "!".repeat(2_000));
    codes(&negations);
    let sums = format!("{head}[agents.a]\nrole = \"r\"\nwhen = \"0{} > 1\"\n", "+1".repeat(1_000));
    codes(&sums);
    let markup = format!("{head}[agents.a]\nrole = \"{}\"\n", "{% if x %}".repeat(20_000));
    assert!(codes(&markup).contains(&Code::BadTemplate));
    let braces = format!("{head}[agents.a]\nrole = \"{{{{ {} }}}}\"\n", "(".repeat(20_000));
    assert!(codes(&braces).contains(&Code::BadTemplate));
    let regex = format!("{head}[agents.a]\nrole = \"r\"\noutput = {{ x = \"{}\" }}\n", "(".repeat(50_000));
    assert!(codes(&regex).contains(&Code::BadRegex));
    let bomb = format!("{head}[agents.a]\nrole = \"r\"\noutput = {{ x = \"(a{{1000}}){{1000}}{{1000}}\" }}\n");
    assert!(codes(&bomb).contains(&Code::BadRegex));
}

#[test]
fn long_chains_and_rings_are_walked_without_recursion() {
    let chain = |last_sees: &str| {
        let mut text = String::from("[team]\nname = \"chain\"\n");
        for index in 0..5_000 {
            let sees = match index {
                0 => last_sees.to_owned(),
                _ => format!("\"a{}\"", index - 1),
            };
            text += &format!("[agents.a{index}]\nrole = \"r\"\nsees = [\"task\", {sees}]\n");
        }
        text
    };
    assert_eq!(codes(&chain("")), []);
    assert_eq!(codes(&chain("\"a4999\"")), [Code::UncappedCycle]);
    let mut loops = String::from("[team]\nname = \"loops\"\n[agents.a]\nrole = \"r\"\n");
    for index in 0..1_000 {
        let inner = if index == 0 { "a".to_owned() } else { format!("l{}", index - 1) };
        loops += &format!("[loops.l{index}]\nnodes = [\"{inner}\"]\nmax = 2\n");
    }
    assert_eq!(codes(&loops), [Code::TooDeep]);
}

#[test]
fn loops_that_contain_one_another_are_refused() {
    let text = "[team]\nname = \"t\"\n[agents.a]\nrole = \"r\"\n[loops.x]\nnodes = [\"y\", \"a\"]\nmax = 2\n[loops.y]\nnodes = [\"x\"]\nmax = 2\n";
    assert!(codes(text).contains(&Code::BadCombination));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        codes(&text);
    }

    #[test]
    fn any_mutation_of_a_valid_file_is_answered(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[\\PC]{0,6}|\\]|\\[|\"|\\{\\{|0|-1|99999999999|true|task|@-1"), 1..6),
    ) {
        let mut text = RICH.to_owned();
        for (at, remove, insert) in cuts {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + remove).min(text.len()));
            text.replace_range(start..end, &insert);
        }
        codes(&text);
    }

    #[test]
    fn any_lines_left_out_or_swapped_are_answered(
        drops in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..4),
    ) {
        let mut lines: Vec<&str> = RICH.lines().collect();
        for (left, right) in swaps {
            let (left, right) = (left.index(lines.len()), right.index(lines.len()));
            lines.swap(left, right);
        }
        for drop in drops {
            lines.remove(drop.index(lines.len()));
        }
        codes(&lines.join("\n"));
    }
}
