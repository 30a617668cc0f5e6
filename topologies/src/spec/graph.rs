//! What every node has, and the edges, loops and topics between nodes.

use schemars::JsonSchema;
use serde::Serialize;
use toml::de::DeValue;

use super::read::{Read, Reader, Value};
use super::{BudgetSpec, KeepWord, Named, OrderWord};
use crate::source::Spanned;
use crate::table;

table! {
    /// What every node has.
    NodeSpec {
        /// What it is shown: `task`, `node`, `node.field`, `node@-1` (the round before). Default: `["task"]`.
        sees: Vec<Spanned<String>>;
        /// Topics it hears.
        subscribes: Vec<Spanned<String>>;
        /// Topics it speaks on.
        publishes: Vec<Spanned<String>>;
        /// CEL condition under which it acts in a round.
        when: String;
        /// How many in-edges must deliver: `"all"`, `"any"`, or a number.
        join: JoinSpec;
        /// Number of copies; 1 when absent.
        count: u32;
        /// Run once per item of a list.
        map: MapSpec;
        /// Run once per item of a list of agent settings, which override the agent's own.
        spawn: MapSpec;
        /// State variables assigned after it acted: name = CEL over its output (`text`, fields).
        sets: Named<String>;
        /// Its own limits.
        budget: BudgetSpec;
    }
}

table! {
    /// A list to run over.
    MapSpec {
        /// `node`, `node.field`, `state.name`, or `task.field`.
        over: String, required;
        /// Most items; required, so that the worst case is known.
        max: u32;
        /// Order among the items; parallel when absent.
        order: OrderWord;
        /// For `order = "dag"`: most layers; as many as items when absent.
        max_depth: u32;
        /// Most instances at once.
        concurrency: u32;
        /// Template variable that holds the item; `item` when absent.
        item: String;
    }
}

table! {
    /// An edge in long form.
    EdgeSpec {
        /// Who speaks.
        from: String, required;
        /// Who hears.
        to: String, required;
        /// CEL condition for delivery.
        when: String;
        /// What is carried: `text`, or an output field.
        carries: String;
        /// 0 = this round, 1 = the round before, …
        delay: u32;
        /// Template of the message in the receiver's observation.
        template: String;
    }
}

table! {
    /// Rounds, always capped.
    RoundsSpec {
        /// Cap; required.
        max: u32;
        /// CEL condition that ends them after a round.
        until: String;
        /// Which round's output counts; the last when absent.
        keep: KeepWord;
        /// For `keep = "best"`: the score, as `node.field`.
        by: String;
    }
}

table! {
    /// A loop over nodes of this team.
    LoopSpec {
        /// Its members: agents, functions, teams, or other loops.
        nodes: Vec<Spanned<String>>, required;
        /// Cap; required.
        max: u32;
        /// CEL condition that ends it after a round.
        until: String;
        /// Which round's output counts; the last when absent.
        keep: KeepWord;
        /// For `keep = "best"`: the score, as `node.field`.
        by: String;
        /// Limits on the whole loop.
        budget: BudgetSpec;
    }
}

table! {
    /// A topic of the message pool: an edge from every publisher to every other subscriber.
    TopicSpec {
        /// 0 = heard in the same round, 1 = in the next, …
        delay: u32;
        /// CEL condition for delivery; `from` and `to` are names, `message` is the message.
        when: String;
        /// What is carried: `text`, or an output field of every publisher.
        carries: String;
        /// Template of a message in a subscriber's observation.
        template: String;
    }
}

/// `join = "all" | "any" | k`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum JoinSpec {
    /// A word.
    Word(JoinWord),
    /// The first k that deliver.
    Count(u32),
}

crate::keywords! {
    /// The words of `join`.
    JoinWord {
        /// Wait for every in-edge.
        All = "all",
        /// The first that delivers.
        Any = "any",
    }
}

impl Read for JoinSpec {
    fn read(value: Value<'_, '_>, reader: &mut Reader) -> Option<Self> {
        match value.value {
            DeValue::String(_) => JoinWord::read(value, reader).map(Self::Word),
            DeValue::Integer(_) => u32::read(value, reader).map(Self::Count),
            _ => {
                reader.wrong_type(value, "`\"all\"`, `\"any\"` or a number");
                None
            }
        }
    }
}
