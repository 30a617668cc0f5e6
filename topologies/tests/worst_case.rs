//! The most a team can cost, against closed forms.

use marft_topologies::Team;
use marft_topologies::worst_case::WorstCase;

fn worst(toml: &str) -> WorstCase {
    let source = format!("[team]\nname = \"t\"\nsampling = {{ max_tokens = 10 }}\n{toml}");
    Team::parse(&source, "t.toml").unwrap_or_else(|report| panic!("{}", report.render(false, 100))).worst_case()
}

fn calls(toml: &str) -> u64 {
    worst(toml).calls
}

#[test]
fn self_consistency_costs_n() {
    let toml = "[agents.solver]\nrole = \"r\"\ncount = 7\n[functions.vote]\nop = \"majority\"\nsees = [\"solver\"]\n";
    assert_eq!(worst(toml), WorstCase { calls: 7, tokens: 70 });
}

#[test]
fn debate_costs_debaters_times_rounds_and_a_judge_one_more() {
    // N debaters, an independent round 0 and M rounds of debate.
    for (n, m) in [(2_u64, 1_u64), (3, 2), (5, 4)] {
        let debate = format!(
            "[agents.debater]\nrole = \"r\"\ncount = {n}\nsees = [\"task\", \"debater@-1\"]\n\
             [loops.debate]\nnodes = [\"debater\"]\nmax = {}\n",
            m + 1
        );
        assert_eq!(calls(&debate), n * (m + 1));
        let judged = format!("{debate}[agents.judge]\nrole = \"r\"\nsees = [\"task\", \"debater\"]\n");
        assert_eq!(calls(&judged), n * (m + 1) + 1);
    }
}

#[test]
fn a_mixture_of_layers_costs_lw_and_an_aggregator() {
    let (layers, width) = (3_u64, 4_u64);
    let mut toml = String::new();
    for layer in 0..layers {
        let sees = if layer == 0 { "\"task\"".to_owned() } else { format!("\"task\", \"layer{}\"", layer - 1) };
        toml += &format!("[agents.layer{layer}]\nrole = \"r\"\ncount = {width}\nsees = [{sees}]\n");
    }
    toml += &format!("[agents.aggregator]\nrole = \"r\"\nsees = [\"task\", \"layer{}\"]\n", layers - 1);
    assert_eq!(calls(&toml), layers * width + 1);
}

#[test]
fn generator_critic_refiner_costs_one_and_two_per_round() {
    for m in [1_u64, 3] {
        let toml = format!(
            "[agents.generator]\nrole = \"r\"\n\
             [agents.critic]\nrole = \"r\"\nsees = [\"task\", \"generator\"]\n\
             [agents.refiner]\nrole = \"r\"\nsees = [\"task\", \"generator\", \"critic\"]\n\
             [loops.revise]\nnodes = [\"critic\", \"refiner\"]\nmax = {m}\n"
        );
        assert_eq!(calls(&toml), 1 + 2 * m);
    }
}

fn tree(search: &str, scorer: bool) -> u64 {
    let score = if scorer { "score = \"scorer\"\n" } else { "" };
    let mut toml = format!(
        "[functions.search]\nop = \"tree\"\nexpand = \"thinker\"\n{score}{search}\n[agents.thinker]\nrole = \"r\"\n"
    );
    if scorer {
        toml += "[agents.scorer]\nrole = \"r\"\noutput = { score = { regex = \"(.*)\", type = \"number\" } }\n";
    }
    calls(&toml)
}

#[test]
fn a_full_tree_costs_every_node_and_a_score_each() {
    for (b, d) in [(3_u64, 3_u32), (2, 5), (4, 1)] {
        let expansions = (b.pow(d + 1) - b) / (b - 1);
        assert_eq!(tree(&format!("branch = {b}\ndepth = {d}"), false), expansions);
        assert_eq!(tree(&format!("branch = {b}\ndepth = {d}"), true), 2 * expansions);
    }
    assert_eq!(tree("branch = 3\ndepth = 3", false), 39);
    assert_eq!(tree("branch = 1\ndepth = 4", false), 4);
    assert_eq!(tree("branch = 3\ndepth = 3\nmax_nodes = 20", false), 20);
}

#[test]
fn a_beam_costs_its_width_per_level() {
    let (b, d, w) = (3_u64, 4_u64, 2_u64);
    let expansions = b + (d - 1) * w * b;
    assert_eq!(tree(&format!("branch = {b}\ndepth = {d}\nselect = \"beam\"\nwidth = {w}"), true), 2 * expansions);
}

#[test]
fn rankings_cost_what_their_method_asks() {
    let rank = |keys: &str| {
        calls(&format!(
            "[agents.writer]\nrole = \"r\"\ncount = 10\n[agents.judge]\nrole = \"r\"\n\
             [functions.rank]\nop = \"rank\"\njudge = \"judge\"\nsees = [\"writer\"]\n{keys}\n"
        )) - 10
    };
    assert_eq!(rank("method = \"pointwise\""), 10);
    assert_eq!(rank("method = \"pairwise\""), 45);
    assert_eq!(rank("method = \"pairwise\"\nswap = true"), 90);
    assert_eq!(rank("method = \"listwise\"\nwindow = 4\nstep = 2"), 4);
    assert_eq!(rank("method = \"tournament\""), 9);
    assert_eq!(rank("method = \"pairwise\"\nmax = 4"), 6);
}

#[test]
fn maps_retries_tools_and_routers_multiply() {
    let list = "[agents.planner]\nrole = \"r\"\nschema = { type = \"object\", properties = { steps = { type = \"array\" } } }\n";
    assert_eq!(
        calls(&format!("{list}[agents.worker]\nrole = \"r\"\nmap = {{ over = \"planner.steps\", max = 8 }}\n")),
        9
    );
    assert_eq!(
        calls("[agents.a]\nrole = \"r\"\ntools = [\"t\"]\nmax_tool_calls = 3\non_parse_error = { retry = 2 }\n"),
        12
    );
    let router = "[agents.boss]\nrole = \"r\"\noutput = { next = \"(.*)\" }\nroutes = { to = [\"cheap\", \"dear\"], max_steps = 5 }\n\
                  [agents.cheap]\nrole = \"r\"\n[teams.dear]\n[teams.dear.agents.x]\nrole = \"r\"\ncount = 3\n";
    assert_eq!(calls(router), 5 * (1 + 3));
}

#[test]
fn a_guard_on_the_round_counts_only_its_rounds() {
    let toml =
        "rounds = { max = 4 }\n[agents.first]\nrole = \"r\"\nwhen = \"round == 0\"\n[agents.every]\nrole = \"r\"\n";
    assert_eq!(calls(toml), 5);
}

#[test]
fn costs_saturate_instead_of_overflowing() {
    let mut toml = String::new();
    let mut table = "teams.t".to_owned();
    for _ in 0..6 {
        toml += &format!("[{table}]\nrounds = {{ max = 4000000000 }}\n");
        table += ".teams.t";
    }
    toml += &format!("[{table}]\n[{table}.agents.a]\nrole = \"r\"\n");
    assert_eq!(calls(&toml), u64::MAX);
}
