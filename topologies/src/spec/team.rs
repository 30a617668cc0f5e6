//! The whole file, sub-teams, and policies.

use super::{
    AgentSpec, BudgetSpec, CreditSpec, EdgeSpec, FunctionSpec, LoopSpec, MemorySpec, Named, NodeSpec, PolicyWord,
    PortType, RewardSpec, RoundsSpec, SamplingSpec, TopicSpec, VariableSpec,
};
use crate::source::Spanned;
use crate::table;

table! {
    /// A team file.
    TeamSpec {
        + /// What the team consists of.
        body: BodySpec;
        /// Version of the file format; 1 is the only one.
        format: u32;
        /// Name, rounds, output and budget of the team.
        team: HeaderSpec, required;
        /// What a task brings.
        task: TaskSpec;
        /// Named reward terms and where they attach.
        rewards: Named<RewardSpec>;
        /// How reward becomes credit.
        credit: CreditSpec;
    }
}

table! {
    /// What a team consists of; the same for the team of the file and for a team inside it.
    BodySpec {
        /// Agents by name.
        agents: Named<AgentSpec>;
        /// Functions by name.
        functions: Named<FunctionSpec>;
        /// Teams inside this one by name.
        teams: Named<SubteamSpec>;
        /// Loops over nodes of this team by name.
        loops: Named<LoopSpec>;
        /// Edges in long form.
        edges: Vec<Spanned<EdgeSpec>>;
        /// Topics of the message pool by name.
        topics: Named<TopicSpec>;
        /// Policies by name; a policy that is only named by an agent is a local adapter.
        policies: Named<PolicySpec>;
        /// State variables by name.
        state: Named<VariableSpec>;
        /// Memories by name.
        memories: Named<MemorySpec>;
    }
}

table! {
    /// The head of a team.
    HeaderSpec {
        /// The team's name.
        name: String, required;
        /// What it is for, in a sentence.
        description: String;
        /// How often its members act; once when absent.
        rounds: RoundsSpec;
        /// The nodes whose last messages are the team's output; by default those nobody listens to.
        output: Vec<Spanned<String>>;
        /// Limits on the whole team.
        budget: BudgetSpec;
        /// Sampling defaults of its agents.
        sampling: SamplingSpec;
    }
}

table! {
    /// What a task brings.
    TaskSpec {
        /// Extra fields of the task by name, beside its text.
        fields: Named<PortType>;
        /// Most tokens of the task's text, for the check against context windows.
        max_tokens: u32;
    }
}

table! {
    /// A team inside a team: written here, or taken from another file.
    SubteamSpec {
        + /// What every node has.
        node: NodeSpec;
        + /// Its members, when written here.
        body: BodySpec;
        /// Where it is written instead: `catalog:NAME`, or a path beside this file.
        source = "use": String;
        /// How often its members act.
        rounds: RoundsSpec;
        /// The members whose last messages are its output.
        output: Vec<Spanned<String>>;
        /// Sampling defaults of its agents.
        sampling: SamplingSpec;
    }
}

table! {
    /// A policy.
    PolicySpec {
        /// Its kind; local when absent.
        kind: PolicyWord;
        /// Local: base model, when it differs from the run's. Remote: model to ask for.
        model: String;
        /// Local: folder of an adapter to start from.
        adapter: String;
        /// Remote: base URL of an OpenAI-compatible endpoint.
        url: String;
        /// Remote: environment variable that holds the key.
        key_env: String;
        /// Remote: ask for the log-probability of every token, for votes; an answer without them is then a fault. False when
        /// absent.
        logprobs: bool;
        /// Remote: read answers as streams, so that nothing on the way cuts off a long one for being silent; false when absent.
        stream: bool;
        /// Remote: declare an agent's tools to the server instead of describing them in its role; false when absent.
        native_tools: bool;
        /// Scripted: the replies, taken in turn.
        replies: Vec<Spanned<String>>;
    }
}
