//! `marft report`: what became of a run, told from its folder alone.

use std::path::{Path, PathBuf};

use marft::engine::episode::{self, EpisodeRecord};
use marft::engine::metrics::{Curve, sparkline, svg};
use marft::engine::trainer::Folder;
use miette::{IntoDiagnostic as _, WrapErr as _};
use serde_json::Value;

use super::eval::{open, transcript};
use super::{Exit, Output};

/// Tell what became of a run: scores before and after, transcripts, and the curve
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of the run
    run: PathBuf,
    /// Show this many tasks, each before and after
    #[arg(long, default_value_t = 3)]
    show: usize,
    /// Also write the curve as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let (loaded, folder) = open(&self.run)?;
        let rows = rows(folder.path())?;
        let score = points(&rows, "eval/score");
        let reward = points(&rows, "reward/total");
        output.text(&format!("{}\n", loaded.settings.name))?;
        if let (Some(first), Some(last)) = (score.first(), score.last()) {
            let bound = |key: &str| points(&rows, key).last().map_or(last.1, |point| point.1);
            output.text(&format!(
                "held out   {:.3} after step {}, {:.3} [{:.3}, {:.3}] after step {}\n",
                first.1,
                first.0,
                last.1,
                bound("eval/low"),
                bound("eval/high"),
                last.0
            ))?;
            output.text(&format!("           {}\n", line(&score)))?;
        }
        if !reward.is_empty() {
            output.text(&format!("reward     {}\n", line(&reward)))?;
        }
        let steps: Vec<u64> = score.iter().map(|(step, _)| *step as u64).collect();
        if let (Some(first), Some(last)) = (steps.first(), steps.last())
            && first != last
        {
            let (before, after) = (evaluation(&folder, *first)?, evaluation(&folder, *last)?);
            for (before, after) in before.iter().zip(&after).take(self.show) {
                output.text(&format!("\nbefore{}after{}", transcript(before), transcript(after)))?;
            }
        }
        if let Some(path) = self.svg {
            let curve = |name: &str, points: Vec<(f64, f64)>| Curve { name: name.to_owned(), points };
            let curves = [curve("held out", score), curve("training reward", reward)];
            let drawn: Vec<Curve> = curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
            std::fs::write(&path, svg(&loaded.settings.name, "step", &drawn))
                .into_diagnostic()
                .wrap_err_with(|| format!("could not write {}", path.display()))?;
            output.text(&format!("\ncurve: {}\n", path.display()))?;
        }
        Ok(Exit::Success)
    }
}

/// The scores of all evaluations of the run in a folder; none where its metrics cannot be read.
pub(super) fn scores(folder: &Path) -> Vec<f64> {
    rows(folder).map_or_else(|_| vec![], |rows| points(&rows, "eval/score").into_iter().map(|point| point.1).collect())
}

fn rows(folder: &Path) -> miette::Result<Vec<Value>> {
    let path = folder.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path)
        .into_diagnostic()
        .wrap_err_with(|| format!("could not read {}", path.display()))?;
    // a line that a running process has not finished is not a row yet
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn number(row: Option<&Value>, key: &str) -> Option<f64> {
    row?.get(key)?.as_f64()
}

fn points(rows: &[Value], key: &str) -> Vec<(f64, f64)> {
    rows.iter().filter_map(|row| Some((number(Some(row), "step")?, number(Some(row), key)?))).collect()
}

fn line(points: &[(f64, f64)]) -> String {
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).collect();
    sparkline(&values, 60)
}

fn evaluation(folder: &Folder, step: u64) -> miette::Result<Vec<EpisodeRecord>> {
    let path = folder.evaluation(step);
    if !path.is_file() {
        return Ok(vec![]);
    }
    episode::read(&path).into_diagnostic().wrap_err("could not read the evaluation")
}
