//! Functions: their operation, and the agents they employ.

use std::sync::Arc;

use super::body::Body;
use super::{Lowering, or};
use crate::check::Code;
use crate::source::{Span, Spanned};
use crate::spec::{
    BestOfSpec, Canonical, FunctionSpec, OpSpec, PortType, RankSpec, RankWord, SelectWord, Tie, TreeSpec,
};
use crate::team::{Function, NodeKind, Op, RankMethod, Score, Tree, TreeSelect};

/// Most children of a tree node, and most levels.
const MAX_TREE: u32 = 10_000;

impl Lowering<'_> {
    pub(super) fn functions(&mut self, body: &Body<'_>) {
        for (name, spec) in body.spec.functions.iter().flat_map(|functions| functions.iter()) {
            let Some(group) = body.scope.get(name) else { continue };
            let Some(op) = self.op(body, name, spec) else {
                // A broken operation is reported; an empty text keeps later checks going.
                let op = Op::Concat { separator: String::new(), template: None };
                self.install(group, Function { op, max: None, returns: PortType::Any });
                continue;
            };
            let returns = returns(spec, &op);
            if let Some(max) = spec.shared.max.as_ref().filter(|max| max.value == 0) {
                self.report(Code::BadValue, "`max = 0` lets no input in", max.span, "use at least 1");
            }
            let max = spec.shared.max.as_ref().map(|max| max.value);
            self.install(group, Function { op, max, returns });
        }
    }

    fn install(&mut self, group: super::scope::Group, function: Function) {
        let function = Arc::new(function);
        for node in group.nodes() {
            self.team.nodes[node.index()].kind = NodeKind::Function(Arc::clone(&function));
        }
    }

    fn op(&mut self, body: &Body<'_>, name: &Spanned<String>, spec: &FunctionSpec) -> Option<Op> {
        Some(match &spec.op {
            OpSpec::Majority(op) => Op::Majority {
                canonical: or(op.canonical.as_ref(), Canonical::Text),
                tie: or(op.tie.as_ref(), Tie::First),
            },
            OpSpec::Vote(op) => Op::Vote {
                weight: op.weight.as_ref()?.value.clone(),
                canonical: or(op.canonical.as_ref(), Canonical::Text),
                tie: or(op.tie.as_ref(), Tie::First),
            },
            OpSpec::BestOf(op) => {
                Op::BestOf { score: self.score(body, name, op)?, tie: or(op.tie.as_ref(), Tie::First) }
            }
            OpSpec::Rank(op) => {
                let method = self.rank_method(name.span, op);
                if let Some(keep) = op.keep.as_ref().filter(|keep| keep.value == 0) {
                    self.report(Code::BadValue, "`keep = 0` keeps nothing", keep.span, "use at least 1");
                }
                let judge = self.employ(body, op.judge.as_ref()?)?;
                Op::Rank { method, judge, keep: op.keep.as_ref().map(|keep| keep.value) }
            }
            OpSpec::Concat(op) => Op::Concat {
                separator: or(op.separator.as_ref(), "\n\n".to_owned()),
                template: self.template(op.template.as_ref()),
            },
            OpSpec::Transform(op) => Op::Transform(self.expression(op.expr.as_ref()?)?),
            OpSpec::Tool(op) => {
                let mut arguments = Vec::new();
                for (argument, value) in op.arguments.iter().flat_map(|arguments| arguments.iter()) {
                    let template = self.template(Some(value));
                    arguments.extend(template.map(|template| (argument.value.clone(), template)));
                }
                Op::Tool { tool: op.tool.as_ref()?.value.clone(), arguments }
            }
            OpSpec::Tree(op) => Op::Tree(self.tree(body, name.span, op)?),
        })
    }

    fn score(&mut self, body: &Body<'_>, name: &Spanned<String>, op: &BestOfSpec) -> Option<Score> {
        match (&op.by, &op.judge) {
            (Some(by), None) => Some(Score::Field(by.value.clone())),
            (None, Some(judge)) => self.employ(body, judge).map(Score::Judge),
            (Some(_), Some(judge)) => {
                self.report(
                    Code::BadCombination,
                    "`by` and `judge` exclude each other",
                    judge.span,
                    "keep one of the two",
                );
                None
            }
            (None, None) => {
                let help = "add `by = \"score\"` (a field of each candidate) or `judge = \"agent\"`";
                self.report(
                    Code::MissingKey,
                    format!("nothing scores the inputs of `{}`", name.value),
                    name.span,
                    help,
                );
                None
            }
        }
    }

    fn rank_method(&mut self, span: Span, op: &RankSpec) -> RankMethod {
        let word = or(op.method.as_ref(), RankWord::Pointwise);
        if let Some(swap) = op.swap.as_ref().filter(|_| word != RankWord::Pairwise) {
            self.report(Code::BadCombination, "`swap` has no effect", swap.span, "add `method = \"pairwise\"`");
        }
        for key in [&op.window, &op.step].into_iter().flatten() {
            if word != RankWord::Listwise {
                self.report(
                    Code::BadCombination,
                    "windows have no effect here",
                    key.span,
                    "add `method = \"listwise\"`",
                );
            }
        }
        match word {
            RankWord::Pointwise => RankMethod::Pointwise,
            RankWord::Pairwise => RankMethod::Pairwise { swap: or(op.swap.as_ref(), false) },
            RankWord::Tournament => RankMethod::Tournament,
            RankWord::Listwise => {
                let (window, step) = (or(op.window.as_ref(), 20), or(op.step.as_ref(), 10));
                if window < 2 || step < 1 || step > window {
                    let at = op.window.as_ref().or(op.step.as_ref()).map_or(span, |key| key.span);
                    let message = format!("a window of {window} moving by {step} does not cover the list");
                    self.report(
                        Code::BadValue,
                        message,
                        at,
                        "use a window of at least 2 and a step from 1 to the window",
                    );
                }
                RankMethod::Listwise { window: window.max(2), step: step.max(1) }
            }
        }
    }

    fn tree(&mut self, body: &Body<'_>, span: Span, op: &TreeSpec) -> Option<Tree> {
        let branch = op.branch.as_ref();
        let depth = op.depth.as_ref();
        if depth.is_none() {
            self.report(Code::Unbounded, "the tree has no depth", span, "add `depth = N`");
        }
        for number in [branch, depth].into_iter().flatten() {
            if number.value == 0 || number.value > MAX_TREE {
                self.report(
                    Code::BadValue,
                    format!("{} is not from 1 to {MAX_TREE}", number.value),
                    number.span,
                    "a small tree is a good start: 3 and 3",
                );
            }
        }
        let select = self.tree_select(span, op);
        let until = self.guard(op.until.as_ref());
        let expand = op.expand.as_ref().and_then(|name| self.employ(body, name));
        let score = op.score.as_ref().map(|name| self.employ(body, name));
        if score.is_none() && select != TreeSelect::Bfs {
            self.report(
                Code::MissingKey,
                "`score` is missing",
                span,
                "only `select = \"bfs\"` can do without a scorer",
            );
        }
        Some(Tree {
            expand: expand?,
            score: score.flatten(),
            score_field: "score".to_owned(),
            branch: branch?.value.clamp(1, MAX_TREE),
            depth: depth?.value.clamp(1, MAX_TREE),
            select,
            max_nodes: op.max_nodes.as_ref().map(|max| max.value),
            until,
        })
    }

    fn tree_select(&mut self, span: Span, op: &TreeSpec) -> TreeSelect {
        let word = or(op.select.as_ref(), SelectWord::Bfs);
        if let Some(width) = op.width.as_ref().filter(|_| word != SelectWord::Beam) {
            self.report(Code::BadCombination, "`width` has no effect", width.span, "add `select = \"beam\"`");
        }
        if let Some(simulations) = op.simulations.as_ref().filter(|_| word != SelectWord::Mcts) {
            self.report(
                Code::BadCombination,
                "`simulations` has no effect",
                simulations.span,
                "add `select = \"mcts\"`",
            );
        }
        match (word, &op.width, &op.simulations) {
            (SelectWord::Bfs, ..) => TreeSelect::Bfs,
            (SelectWord::Dfs, ..) => TreeSelect::Dfs,
            (SelectWord::Beam, Some(width), _) => TreeSelect::Beam { width: width.value.max(1) },
            (SelectWord::Mcts, _, Some(simulations)) => TreeSelect::Mcts { simulations: simulations.value.max(1) },
            (SelectWord::Beam, None, _) => {
                self.report(Code::Unbounded, "the beam has no width", span, "add `width = N`");
                TreeSelect::Beam { width: 1 }
            }
            (SelectWord::Mcts, _, None) => {
                self.report(Code::Unbounded, "the search has no number of simulations", span, "add `simulations = N`");
                TreeSelect::Mcts { simulations: 1 }
            }
        }
    }
}

fn returns(spec: &FunctionSpec, op: &Op) -> PortType {
    match (&spec.op, op) {
        (OpSpec::Transform(transform), _) => or(transform.returns.as_ref(), PortType::Any),
        (OpSpec::Tool(tool), _) => or(tool.returns.as_ref(), PortType::Text),
        (_, Op::Rank { .. }) => PortType::List,
        _ => PortType::Text,
    }
}
