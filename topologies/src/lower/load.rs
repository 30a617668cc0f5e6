//! Files inside files: following `use`, each read once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Lowering;
use crate::check::{Code, Problem};
use crate::source::{FileId, Sources, Spanned};
use crate::spec::read::{read_document, read_file};
use crate::spec::{SubteamSpec, TeamSpec};

/// Most files inside files.
const MAX_FILES_DEEP: usize = 8;

/// Reads and parses files once each.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    pub(crate) sources: Sources,
    parsed: HashMap<String, Option<Rc<TeamSpec>>>,
}

impl Loader {
    /// Parses one file that is already in memory.
    pub(crate) fn parse(&mut self, name: &str, text: &str) -> (FileId, Option<TeamSpec>, Vec<Problem>) {
        read_document(&mut self.sources, name, text)
    }
}

impl Lowering<'_> {
    /// The team file behind `use`, read at its first mention.
    pub(super) fn included(&mut self, team: &SubteamSpec, source: &Spanned<String>) -> Option<Rc<TeamSpec>> {
        if team.body != crate::spec::BodySpec::default() {
            let help = "keep `use`, or write the members here";
            self.report(Code::BadCombination, "`use` excludes members written here", source.span, help);
        }
        if self.open_files.contains(&source.value) || self.open_files.len() >= MAX_FILES_DEEP {
            let ring: Vec<_> = self.open_files.iter().chain([&source.value]).map(|name| format!("`{name}`")).collect();
            let message = format!("the team contains itself: {}", ring.join(" → "));
            self.report(Code::RecursiveTeam, message, source.span, "a team cannot be a member of itself");
            return None;
        }
        if !self.loader.parsed.contains_key(&source.value) {
            let parsed = self.include(source);
            self.loader.parsed.insert(source.value.clone(), parsed.map(Rc::new));
        }
        self.loader.parsed[&source.value].clone()
    }

    fn include(&mut self, source: &Spanned<String>) -> Option<TeamSpec> {
        let text = match source.strip_prefix("catalog:") {
            Some(name) => {
                let Some(text) = crate::catalog::source(name) else {
                    let message = format!("the catalog has no team `{name}`");
                    self.report(Code::DanglingReference, message, source.span, "`marft catalog` lists what there is");
                    return None;
                };
                text.to_owned()
            }
            None => match read_file(&self.beside(source)) {
                Ok(text) => text,
                Err(fault) => {
                    let message = format!("cannot read `{}`: {fault}", source.value);
                    self.report(
                        Code::Unreadable,
                        message,
                        source.span,
                        "paths are relative to the file that names them",
                    );
                    return None;
                }
            },
        };
        let name = if source.starts_with("catalog:") {
            source.value.clone()
        } else {
            self.beside(source).display().to_string()
        };
        let (_, spec, problems) = self.loader.parse(&name, &text);
        self.problems.extend(problems);
        spec
    }

    fn beside(&self, source: &Spanned<String>) -> PathBuf {
        let from = Path::new(&self.loader.sources.file(source.span.file).name);
        from.parent().unwrap_or(Path::new("")).join(&source.value)
    }
}
