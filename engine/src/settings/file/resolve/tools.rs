//! The tools that the team may call: every one that it names is there, and every one that is there is named.

use std::collections::BTreeMap;
use std::time::Duration;

use marft_topologies::Team;
use marft_topologies::check::Code;
use marft_topologies::check::names::nearest;
use marft_topologies::source::{Span, Spanned};
use marft_topologies::team::{NodeKind, Op};
use serde_json::Value;

use super::{Resolving, or};
use crate::settings::file::typed::ToolFile;
use crate::settings::{FILE, Kind, ToolSettings};
use crate::tool::ToolLimits;

impl Resolving<'_> {
    /// The tools of the run.
    pub(super) fn tools(&mut self, team: Option<&Team>) -> Vec<ToolSettings> {
        let mut tools: Vec<ToolSettings> = Vec::new();
        let mut places: BTreeMap<String, Span> = BTreeMap::new();
        for typed in self.file.tools.iter().flat_map(|tools| tools.iter()) {
            let Some(kind) = &typed.keys.kind else { continue };
            let name = typed.keys.name.as_ref().unwrap_or(kind);
            if places.insert(name.value.clone(), name.span).is_some() {
                let message = format!("two tools are called `{}`", name.value);
                self.report(Code::DuplicateId, message, name.span, "give each a `name` of its own");
            }
            let tool = self.kind_of_tool(typed, kind);
            let limits = self.limits(typed);
            tools.push(ToolSettings { name: name.value.clone(), tool, limits });
        }
        if let Some(team) = team {
            self.used(team, &places);
        }
        tools
    }

    fn limits(&mut self, typed: &ToolFile) -> ToolLimits {
        let (keys, default) = (&typed.keys, ToolLimits::default());
        self.range(
            "concurrency",
            keys.concurrency.as_ref(),
            |count| count > 0,
            "a tool is called at least once a time",
        );
        let fine = |seconds: f64| seconds > 0.0 && Duration::try_from_secs_f64(seconds).is_ok();
        self.range("seconds", keys.seconds.as_ref(), fine, "a limit is positive");
        let seconds = keys.seconds.as_ref().map(|seconds| Duration::try_from_secs_f64(seconds.value));
        ToolLimits {
            concurrency: or(keys.concurrency.as_ref(), default.concurrency as u64) as usize,
            patience: seconds.and_then(Result::ok).unwrap_or(default.patience),
        }
    }

    fn kind_of_tool(&mut self, typed: &ToolFile, kind: &Spanned<String>) -> Kind {
        let beside = |name: &str, value: &Value| match value.as_str() {
            Some(path) if name == FILE => Value::from(self.beside(path).display().to_string()),
            _ => value.clone(),
        };
        let pairs = typed.rest.iter().map(|(name, value)| (name.value.clone(), beside(name, &value.value.0)));
        let mut settings = Kind { kind: kind.value.clone(), settings: pairs.collect() };
        while let Some(made) = self.registry.tools.make(&settings) {
            let Err(error) = made else { return settings };
            if !self.kind_fault(&error, &typed.rest, kind.span, &mut settings) {
                return settings;
            }
        }
        let registry = self.registry;
        self.unknown("kind of tool", &kind.value, kind.span, registry.tools.kinds());
        settings
    }

    /// Checks that the team's tools and the run's are the same.
    fn used(&mut self, team: &Team, places: &BTreeMap<String, Span>) {
        let mut unused = places.clone();
        for node in team.nodes() {
            let named: &[String] = match &node.kind {
                NodeKind::Agent(agent) => &agent.tools,
                NodeKind::Function(function) => match &function.op {
                    Op::Tool { tool, .. } => std::slice::from_ref(tool),
                    _ => &[],
                },
                NodeKind::Block(_) => &[],
            };
            for name in named {
                unused.remove(name);
                if !places.contains_key(name) {
                    let help = match nearest(name, places.keys().map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("add `[[tools]]` with `name = \"{name}\"` and a `kind` to the run file"),
                    };
                    let message = format!("`{}` calls the tool `{name}`, which the run does not have", node.label);
                    self.in_team_file(Code::DanglingReference, message, node.span, help);
                }
            }
        }
        for (name, place) in unused {
            let help = "leave it out, or name it in `tools` of an agent in the team file";
            self.report(Code::BadCombination, format!("nobody calls the tool `{name}`"), place, help);
        }
    }
}
