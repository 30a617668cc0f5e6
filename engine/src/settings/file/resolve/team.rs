//! The team of the run.

use std::path::Path;
use std::sync::Arc;

use marft_topologies::Team;
use marft_topologies::check::{Code, Report};

use super::{Resolving, start};

impl Resolving<'_> {
    /// Reads the team: its name as it can be used anywhere, itself, and its problems.
    pub(super) fn team(&mut self) -> (String, Option<Arc<Team>>, Option<Report>) {
        let typed = self.file.team.as_ref();
        let (name, span) = typed.map_or(("team.toml", start()), |team| (team.value.as_str(), team.span));
        let found =
            if name.starts_with("catalog:") { name.to_owned() } else { self.beside(name).display().to_string() };
        if !name.starts_with("catalog:") && !Path::new(&found).is_file() {
            let message = format!("there is no team file `{found}`");
            let help = "paths are relative to the folder of the run file; `marft catalog` lists teams to start from";
            self.report(Code::MissingFile, message, span, help);
            return (found, None, None);
        }
        match Team::load(&found) {
            Ok(team) => (found, Some(Arc::new(team)), None),
            Err(report) => (found, None, Some(report)),
        }
    }
}
