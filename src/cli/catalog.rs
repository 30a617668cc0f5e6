//! `marft catalog`: the team files that come with marft.

use marft::topologies::{Team, catalog, check::names::nearest};

use super::{Exit, Output};

/// List the team files that come with marft, or print one
///
/// Each line has the name, the most calls one run can cost, and what the team is. Use them as `catalog:NAME` wherever a
/// team file is expected, also in `use = "catalog:NAME"` inside a team file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The team file to print
    name: Option<String>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Some(name) = self.name else {
            for entry in catalog::ENTRIES {
                let team = Team::parse(entry.text, entry.name).map_err(|report| miette::miette!("{report}"))?;
                let calls = team.worst_case().calls;
                output.text(&format!("{:<27} {calls:>3}  {}\n", entry.name, team.description()))?;
            }
            return Ok(Exit::Success);
        };
        let name = name.strip_prefix("catalog:").unwrap_or(&name);
        let Some(text) = catalog::source(name) else {
            let near = nearest(name, catalog::ENTRIES.iter().map(|entry| entry.name));
            let help = near
                .map_or_else(|| "`marft catalog` lists all names".to_owned(), |near| format!("did you mean `{near}`?"));
            return Err(miette::miette!(help = help, "the catalog has no team `{name}`"));
        };
        output.text(text)?;
        Ok(Exit::Success)
    }
}
