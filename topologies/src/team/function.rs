//! Functions: nodes without a policy of their own. Some employ agents as judges or expanders.

use super::NodeId;
use crate::expr::{Expression, Guard};
use crate::source::Spanned;
use crate::spec::{Canonical, PortType, Tie};
use crate::template::Template;

/// A function node.
#[derive(Debug, Clone)]
pub struct Function {
    /// What it computes.
    pub op: Op,
    /// Most inputs; further ones are dropped and counted. `None` = as many as its edges bring.
    pub max: Option<u32>,
    /// Type of the `value` it puts out beside its `text`.
    pub returns: PortType,
}

/// What a function computes from the messages delivered to it, in declared order.
#[derive(Debug, Clone)]
pub enum Op {
    /// The most frequent value.
    Majority {
        /// Equality under which values count as the same.
        canonical: Canonical,
        /// What a tie gives.
        tie: Tie,
    },
    /// The value with the largest sum of weights.
    Vote {
        /// Numeric field of each voter that weighs its vote.
        weight: String,
        /// Equality under which values count as the same.
        canonical: Canonical,
        /// What a tie gives.
        tie: Tie,
    },
    /// The input with the highest score.
    BestOf {
        /// Who scores.
        score: Score,
        /// What a tie gives.
        tie: Tie,
    },
    /// The inputs reordered by an employed judge.
    Rank {
        /// How the judge is asked.
        method: RankMethod,
        /// The judge.
        judge: NodeId,
        /// How many are kept; `None` = all.
        keep: Option<u32>,
    },
    /// The inputs one after another.
    Concat {
        /// Text between two inputs.
        separator: String,
        /// How each is written.
        template: Option<Spanned<Template>>,
    },
    /// A pure expression over the inputs.
    Transform(Spanned<Expression>),
    /// One call of a tool.
    Tool {
        /// Its name.
        tool: String,
        /// Its arguments.
        arguments: Vec<(String, Spanned<Template>)>,
    },
    /// Search over partial solutions.
    Tree(Tree),
}

/// Who scores candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Score {
    /// A numeric field that each candidate carries.
    Field(String),
    /// An employed agent, asked once per candidate.
    Judge(NodeId),
}

/// A tree search. Every expansion is one call of `expand`, every score one call of `score`.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Writes one child of a node.
    pub expand: NodeId,
    /// Rates a node; without it the search is exhaustive and scores nothing.
    pub score: Option<NodeId>,
    /// Numeric field of the scorer's output.
    pub score_field: String,
    /// Children per node.
    pub branch: u32,
    /// Levels below the root.
    pub depth: u32,
    /// Which nodes are expanded.
    pub select: TreeSelect,
    /// Cap on expansions, when declared.
    pub max_nodes: Option<u32>,
    /// Ends the search at the first node for which it holds.
    pub until: Option<Spanned<Guard>>,
}

/// How a ranking judge is asked, with the number of calls for n candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankMethod {
    /// One score per candidate: n.
    Pointwise,
    /// Every pair: n(n-1)/2, twice that with `swap`.
    Pairwise {
        /// Ask both orders of each pair.
        swap: bool,
    },
    /// A window sliding from the end: ceil((n-w)/s)+1.
    Listwise {
        /// Candidates per window, at least 2.
        window: u32,
        /// How far it moves, at least 1.
        step: u32,
    },
    /// Knock-out of pairs: n-1.
    Tournament,
}

/// Which nodes of a search tree are expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeSelect {
    /// All, level by level.
    Bfs,
    /// Depth first, best child first, going back from dead ends.
    Dfs,
    /// The best `width` of each level.
    Beam {
        /// Nodes kept per level.
        width: u32,
    },
    /// Monte-Carlo tree search.
    Mcts {
        /// Roll-outs; each expands at most `depth` nodes.
        simulations: u32,
    },
}
