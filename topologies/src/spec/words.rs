//! The closed sets of words of the team file.

use crate::keywords;

keywords! {
    /// The type of an output, field, variable or task field.
    PortType {
        /// Any type; checked at run time only.
        Any = "any",
        /// Text.
        Text = "text",
        /// Any number.
        Number = "number",
        /// A whole number.
        Integer = "integer",
        /// True or false.
        Boolean = "boolean",
        /// A list.
        List = "list",
        /// A record with named members.
        Object = "object",
    }
}

keywords! {
    /// How long a variable or memory lives.
    Scope {
        /// One turn.
        Turn = "turn",
        /// One episode.
        Episode = "episode",
        /// The whole run, across episodes.
        Run = "run",
    }
}

keywords! {
    /// What an agent carries from one of its turns to the next.
    Context {
        /// Its own turns so far, growing.
        Grow = "grow",
        /// Nothing: every turn starts anew.
        Fresh = "fresh",
        /// Its last output only, which replaces all that went before.
        Replace = "replace",
    }
}

keywords! {
    /// Equality under which votes count as the same.
    Canonical {
        /// Byte for byte.
        Exact = "exact",
        /// After trimming, lower-casing and joining runs of white space.
        Text = "text",
        /// As numbers where both parse, else as text.
        Number = "number",
        /// As the single choice letter they contain, else as text.
        Choice = "choice",
    }
}

keywords! {
    /// What a tie gives.
    Tie {
        /// The value that came first in declared order.
        First = "first",
        /// One drawn with the node's own random stream.
        Seeded = "seeded",
        /// No output: the node counts as skipped.
        Abstain = "abstain",
    }
}

keywords! {
    /// How a ranking judge is asked.
    RankWord {
        /// One score per candidate: n calls.
        Pointwise = "pointwise",
        /// Every pair once: n(n-1)/2 calls, doubled by `swap`.
        Pairwise = "pairwise",
        /// A window sliding from the end: ceil((n-w)/s)+1 calls.
        Listwise = "listwise",
        /// Knock-out of pairs: n-1 calls.
        Tournament = "tournament",
    }
}

keywords! {
    /// Which nodes of a search tree are expanded.
    SelectWord {
        /// All, level by level.
        Bfs = "bfs",
        /// Depth first, best child first, going back from dead ends.
        Dfs = "dfs",
        /// The best `width` of each level.
        Beam = "beam",
        /// Monte-Carlo tree search with `simulations` roll-outs.
        Mcts = "mcts",
    }
}

keywords! {
    /// Order among the items of a map.
    OrderWord {
        /// All independent.
        Parallel = "parallel",
        /// One after another; each sees the outputs before it as `done`.
        Chain = "chain",
        /// Items carry `id` and `needs` and run as a DAG.
        Dag = "dag",
    }
}

keywords! {
    /// What an unparseable route leads to.
    UnparseableWord {
        /// The block ends with that reason.
        End = "end",
        /// The episode fails with that reason.
        Fail = "fail",
        /// The target named by `default` speaks.
        Default = "default",
    }
}

keywords! {
    /// Which round's output of a loop counts.
    KeepWord {
        /// The last round's.
        Last = "last",
        /// The round with the best score.
        Best = "best",
    }
}

keywords! {
    /// A form that an agent states elsewhere.
    ConstrainWord {
        /// Its `schema`.
        Schema = "schema",
    }
}

keywords! {
    /// What follows when an output does not parse.
    ParseErrorWord {
        /// The episode fails with that reason.
        Fail = "fail",
        /// The raw text stands and the fields are absent.
        Keep = "keep",
        /// The turn counts as skipped.
        Skip = "skip",
    }
}

keywords! {
    /// What stands in for the answer when a budget runs out.
    OutcomeWord {
        /// The episode fails with that reason.
        Fail = "fail",
        /// The last complete output of the node, block or team.
        Last = "last",
        /// Nothing: the node, block or team counts as skipped.
        Skip = "skip",
        /// The text in `fallback`.
        Fallback = "fallback",
    }
}

keywords! {
    /// Kinds of policy.
    PolicyWord {
        /// A LoRA adapter in this process.
        Local = "local",
        /// An OpenAI-compatible endpoint.
        Remote = "remote",
        /// A person.
        Human = "human",
        /// Fixed replies.
        Scripted = "scripted",
    }
}

keywords! {
    /// Shape of what a memory holds.
    MemoryKind {
        /// Records in order of arrival.
        List = "list",
        /// One record per key.
        KeyValue = "key_value",
        /// Records and typed links between them.
        Graph = "graph",
        /// Records under summaries of them.
        Tree = "tree",
        /// Rows of a table.
        Table = "table",
    }
}

keywords! {
    /// How records of a memory are found.
    MemoryIndex {
        /// Words in common with the query.
        Lexical = "lexical",
        /// Nearness of embeddings.
        Embedding = "embedding",
        /// The key.
        Key = "key",
        /// The newest first.
        Time = "time",
        /// Links from records already found.
        Links = "links",
    }
}

keywords! {
    /// Which record of a full memory goes.
    Evict {
        /// The oldest.
        Oldest = "oldest",
        /// The one used longest ago.
        Unused = "unused",
        /// The one with the lowest importance times decay.
        Decay = "decay",
        /// The one the curator names.
        Curator = "curator",
    }
}

keywords! {
    /// Where on a trajectory a reward lands.
    AttachPoint {
        /// The last token of each action.
        Token = "token",
        /// Each turn of an agent.
        Turn = "turn",
        /// The agent, at its last turn of the step.
        Agent = "agent",
        /// The team, at the end of the step.
        Team = "team",
        /// The end of the episode.
        Episode = "episode",
    }
}

keywords! {
    /// Who shares in a team reward.
    CreditRule {
        /// Every agent gets all of it.
        Shared = "shared",
        /// Only agents whose output reaches the team's output.
        Path = "path",
        /// Nobody: agents get only what is attached to them.
        Own = "own",
        /// Team reward minus the reward without the agent's turn.
        Difference = "difference",
        /// Success rate of roll-outs from the partial transcript.
        Rollout = "rollout",
    }
}

keywords! {
    /// What is compared with what in group-relative advantages.
    CreditGroup {
        /// Same task.
        Task = "task",
        /// Same task and agent.
        Agent = "agent",
        /// Same task, agent and turn number.
        Turn = "turn",
        /// Same observation.
        Observation = "observation",
    }
}

keywords! {
    /// Function nodes.
    OpWord {
        /// The most frequent value.
        Majority = "majority",
        /// The value with the largest sum of weights.
        Vote = "vote",
        /// The input with the highest score.
        BestOf = "best_of",
        /// The inputs in a judge's order.
        Rank = "rank",
        /// The inputs one after another.
        Concat = "concat",
        /// A pure expression.
        Transform = "transform",
        /// One call of a tool.
        Tool = "tool",
        /// Search over partial solutions.
        Tree = "tree",
    }
}
