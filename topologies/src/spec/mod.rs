//! What is typed: the team file as written, every value with its place. Nothing here knows what a team means.

mod agent;
mod function;
mod graph;
mod keyword;
pub mod read;
mod scalar;
mod state;
mod table;
mod team;
mod training;
mod words;

pub use agent::{
    AgentSpec, ConstrainSpec, ConstrainTable, FieldSpec, FieldTable, OnParseErrorSpec, OnParseErrorTable,
    OptimizerSpec, RoutesSpec, SamplingSpec,
};
pub use function::{
    BestOfSpec, ConcatSpec, FunctionSpec, MajoritySpec, OpSpec, RankSpec, ToolSpec, TransformSpec, TreeSpec, VoteSpec,
};
pub use graph::{EdgeSpec, JoinSpec, LoopSpec, MapSpec, NodeSpec, RoundsSpec, TopicSpec};
pub use scalar::{Json, Named};
pub use state::{BudgetSpec, MemorySpec, VariableSpec};
pub use team::{BodySpec, HeaderSpec, PolicySpec, SubteamSpec, TaskSpec, TeamSpec};
pub use training::{CreditSpec, RewardSpec};
pub use words::{
    AttachPoint, Canonical, ConstrainWord, Context, CreditGroup, CreditRule, Evict, KeepWord, MemoryIndex, MemoryKind,
    OpWord, OrderWord, OutcomeWord, ParseErrorWord, PolicyWord, PortType, RankWord, Scope, SelectWord, Tie,
    UnparseableWord,
};
