//! Functions as typed: common keys plus those of the operation.

use schemars::JsonSchema;
use serde::Serialize;

use super::read::{Fields, ReadFields, Reader};
use super::{Canonical, Named, NodeSpec, OpWord, PortType, RankWord, SelectWord, Tie};
use crate::source::Spanned;
use crate::table;

/// A function.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct FunctionSpec {
    /// What every node has.
    #[serde(flatten)]
    pub node: NodeSpec,
    /// Keys every operation has.
    #[serde(flatten)]
    pub shared: SharedSpec,
    /// The operation and its keys.
    #[serde(flatten)]
    pub op: OpSpec,
}

table! {
    /// Keys every operation has.
    SharedSpec {
        /// Most inputs; required where an input is a list without `max_items`.
        max: u32;
    }
}

/// The operation of a function with its keys.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum OpSpec {
    /// The most frequent value.
    Majority(MajoritySpec),
    /// The value with the largest sum of weights.
    Vote(VoteSpec),
    /// The input with the highest score.
    BestOf(BestOfSpec),
    /// The inputs in a judge's order.
    Rank(RankSpec),
    /// The inputs one after another.
    Concat(ConcatSpec),
    /// A pure expression.
    Transform(TransformSpec),
    /// One call of a tool.
    Tool(ToolSpec),
    /// Search over partial solutions.
    Tree(TreeSpec),
}

table! {
    /// Keys of `majority`.
    MajoritySpec {
        /// Equality of votes; text when absent.
        canonical: Canonical;
        /// What a tie gives; first when absent.
        tie: Tie;
    }
}

table! {
    /// Keys of `vote`.
    VoteSpec {
        /// Numeric field of each voter that weighs its vote.
        weight: String, required;
        /// Equality of votes; text when absent.
        canonical: Canonical;
        /// What a tie gives; first when absent.
        tie: Tie;
    }
}

table! {
    /// Keys of `best_of`: `by` or `judge`.
    BestOfSpec {
        /// Numeric field of each candidate.
        by: String;
        /// Agent that scores each candidate; its numeric field `score`.
        judge: String;
        /// What a tie gives; first when absent.
        tie: Tie;
    }
}

table! {
    /// Keys of `rank`.
    RankSpec {
        /// How the judge is asked; pointwise when absent.
        method: RankWord;
        /// The judging agent.
        judge: String, required;
        /// Pairwise: ask both orders.
        swap: bool;
        /// Listwise: candidates per window.
        window: u32;
        /// Listwise: how far the window moves.
        step: u32;
        /// How many are kept; all when absent.
        keep: u32;
    }
}

table! {
    /// Keys of `concat`.
    ConcatSpec {
        /// Text between inputs; a blank line when absent.
        separator: String;
        /// Template of each input.
        template: String;
    }
}

table! {
    /// Keys of `transform`.
    TransformSpec {
        /// CEL over the inputs.
        expr: String, required;
        /// Type of the result; inferred when absent.
        returns: PortType;
    }
}

table! {
    /// Keys of `tool`.
    ToolSpec {
        /// The tool.
        tool: String, required;
        /// Arguments: name = template.
        arguments: Named<String>;
        /// Type of the result; text when absent.
        returns: PortType;
    }
}

table! {
    /// Keys of `tree`.
    TreeSpec {
        /// Agent that writes one child.
        expand: String, required;
        /// Agent that rates a node by its numeric field `score`.
        score: String;
        /// Children per node.
        branch: u32, required;
        /// Levels; required.
        depth: u32;
        /// Which nodes are expanded; breadth first when absent.
        select: SelectWord;
        /// Beam: nodes kept per level.
        width: u32;
        /// Monte-Carlo: roll-outs.
        simulations: u32;
        /// Cap on expansions.
        max_nodes: u32;
        /// CEL condition that ends the search at the first node for which it holds.
        until: String;
    }
}

impl ReadFields for FunctionSpec {
    fn read_fields(fields: &mut Fields<'_, '_>, reader: &mut Reader) -> Self {
        let node = NodeSpec::read_fields(fields, reader);
        let shared = SharedSpec::read_fields(fields, reader);
        let word: Option<Spanned<OpWord>> = fields.take_required("op", reader);
        let op = match word.map(|word| word.value) {
            Some(OpWord::Majority) => OpSpec::Majority(ReadFields::read_fields(fields, reader)),
            Some(OpWord::Vote) => OpSpec::Vote(ReadFields::read_fields(fields, reader)),
            Some(OpWord::BestOf) => OpSpec::BestOf(ReadFields::read_fields(fields, reader)),
            Some(OpWord::Rank) => OpSpec::Rank(ReadFields::read_fields(fields, reader)),
            Some(OpWord::Concat) => OpSpec::Concat(ReadFields::read_fields(fields, reader)),
            Some(OpWord::Transform) => OpSpec::Transform(ReadFields::read_fields(fields, reader)),
            Some(OpWord::Tool) => OpSpec::Tool(ReadFields::read_fields(fields, reader)),
            Some(OpWord::Tree) => OpSpec::Tree(ReadFields::read_fields(fields, reader)),
            None => {
                // The missing or unknown operation is reported; its keys cannot be judged, so none is called unknown.
                fields.accept_all();
                OpSpec::Concat(ConcatSpec::default())
            }
        };
        Self { node, shared, op }
    }
}
