//! All templates of a team, compiled once and shared by all episodes.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::{Environment, Value};

use crate::team::{NodeKind, Op, Team};
use crate::template::{RenderError, Template, environment};

/// Compiled templates, looked up by their text.
pub(super) struct Library {
    environment: Environment<'static>,
    /// By text, the plain names a template uses.
    names: HashMap<Arc<str>, Vec<String>>,
}

impl Library {
    pub(super) fn new(team: &Team) -> Self {
        let mut environment = environment();
        let mut names: HashMap<Arc<str>, Vec<String>> = HashMap::new();
        let mut add = |template: &Template| {
            if !template.is_literal() && !names.contains_key(template.source()) {
                names.insert(template.source().into(), super::uses::variables_of(template));
                // A team only holds templates that compiled; one that does not is reported when it is rendered.
                let source = template.source().to_owned();
                environment.add_template_owned(source.clone(), source).ok();
            }
        };
        for node in team.nodes() {
            match &node.kind {
                NodeKind::Agent(agent) => {
                    add(&agent.role);
                    agent.prompt.iter().for_each(|template| add(template));
                }
                NodeKind::Function(function) => match &function.op {
                    Op::Concat { template, .. } => template.iter().for_each(|template| add(template)),
                    Op::Tool { arguments, .. } => arguments.iter().for_each(|(_, template)| add(template)),
                    _ => {}
                },
                NodeKind::Block(_) => {}
            }
        }
        team.edges().iter().filter_map(|edge| edge.template.as_ref()).for_each(|template| add(template));
        Self { environment, names }
    }

    pub(super) fn names(&self, template: &Template) -> &[String] {
        self.names.get(template.source()).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn render(&self, template: &Template, scope: &Value) -> Result<String, RenderError> {
        if template.is_literal() {
            return Ok(template.source().to_owned());
        }
        Ok(self.environment.get_template(template.source())?.render(scope)?)
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Library").finish_non_exhaustive()
    }
}
