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
        match Team::load_with_sources(&found) {
            Ok((team, sources)) => {
                self.team_sources = sources;
                (found, Some(Arc::new(team)), None)
            }
            Err(report) => (found, None, Some(report)),
        }
    }

    /// The problems that a sound team file has with this run, shown in it and in the files that it takes teams from.
    pub(super) fn team_report(&mut self) -> Option<Report> {
        let problems = std::mem::take(&mut self.team_problems);
        let sources = std::mem::take(&mut self.team_sources);
        (!problems.is_empty()).then(|| Report::new(sources, problems))
    }
}
