//! `marft export`: what a run trained as a model that other programs load.

use std::path::{Path, PathBuf};

use marft::agents::generate::PolicyId;
use marft::agents::lora::{load_adapter, merged};
use marft::agents::model::Placement;
use marft::agents::pretrained::{ExportError, Location, ModelExport};
use marft::agents::train::{OptimizerConfig, PolicySpec, PolicyTable};
use marft::engine::checkpoint::{CheckpointError, Checkpoints};
use marft::engine::settings::{Dtype, RunSettings};
use marft::engine::trainer::{Folder, SavedPolicy, TrainerError, saved_policies};
use miette::{IntoDiagnostic as _, WrapErr as _};

use super::eval::whole;
use super::model::{cannot_open, find};
use super::train::{say, tell};
use super::{Exit, Output};

/// Write what was trained as a Hugging Face model folder
///
/// An adapter is added into the base; a base that was trained itself is written as it has become. The folder has
/// config.json, model.safetensors, and what the base has of tokenizer and chat template; it appears when all of it is
/// written. `--model DIR` takes it, and so does transformers.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder of a run, for its newest whole checkpoint, or RUN/checkpoints/STEP
    from: PathBuf,
    /// The folder to write: one that is new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which policy, where the checkpoint has several
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Type of the stored weights [default: the type that the run computed in]
    #[arg(long, value_enum)]
    dtype: Option<Stored>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stored {
    F32,
    Bf16,
}

impl Args {
    pub(super) fn run(self, output: &mut Output) -> miette::Result<Exit> {
        let Self { from, out, policy, dtype } = self;
        // said before anything is loaded
        ModelExport::vacant(&out).map_err(refused)?;
        let (settings, checkpoint) = checkpoint(&from)?;
        let saved = saved_policies(&checkpoint).into_diagnostic().wrap_err("cannot read the checkpoint")?;
        let saved = chosen(saved, policy.as_deref(), &checkpoint)?;
        let computed = match settings.model.dtype {
            Dtype::F32 => Stored::F32,
            Dtype::Bf16 => Stored::Bf16,
        };
        let base = find(&settings.model.base)?;
        let mut export = trained(&base, &settings.model.base, &saved, computed)?;
        export.kind = dtype.unwrap_or(computed).placement().kind;
        for note in export.write(&out).map_err(refused)? {
            say(&format!("note: {note}"));
        }
        output.text(&format!("{}\n", out.display()))?;
        Ok(Exit::Success)
    }
}

impl Stored {
    /// Weights of this type on the CPU, as files have them.
    fn placement(self) -> Placement {
        match self {
            Self::F32 => Placement::EXACT,
            Self::Bf16 => Placement { packed: false, ..Placement::FAST },
        }
    }
}

/// What a run was told, and the folder of the checkpoint that `from` names.
fn checkpoint(from: &Path) -> miette::Result<(RunSettings, PathBuf)> {
    let told = |error: CheckpointError| tell(TrainerError::from(error));
    let folder = Folder::look_at(from);
    if let Some(bundle) = folder.bundle().map_err(tell)? {
        let steps = Checkpoints::look_at(folder.checkpoints());
        let found = if folder.checkpoints().is_dir() { whole(steps.latest().map_err(told)?) } else { None };
        let Some(found) = found else { miette::bail!("the run in {} has no checkpoint yet", from.display()) };
        return Ok((bundle.settings, found.folder));
    }
    if let Some((run, step)) = place(from)
        && let Some(bundle) = run.bundle().map_err(tell)?
        && let Some(folder) = Checkpoints::look_at(run.checkpoints()).of(step).map_err(told)?
    {
        return Ok((bundle.settings, folder));
    }
    Err(miette::miette!(
        help = "name the folder that `marft train` wrote, or RUN/checkpoints/STEP in it: what the base is stands in RUN/run.json",
        "{} is neither the folder of a run nor a checkpoint in one",
        from.display()
    ))
}

/// The run that `from` is a checkpoint of, and its step, by where it lies and however it was typed.
fn place(from: &Path) -> Option<(Folder, u64)> {
    let path = from.canonicalize().ok()?;
    let run = Folder::look_at(path.parent()?.parent()?);
    let step = path.file_name()?.to_str()?.parse().ok()?;
    let checkpoints = Checkpoints::look_at(run.checkpoints());
    (checkpoints.folder(step) == path).then_some((run, step))
}

/// The policy of this name, or the only one.
fn chosen(mut saved: Vec<SavedPolicy>, name: Option<&str>, checkpoint: &Path) -> miette::Result<SavedPolicy> {
    let names: Vec<&str> = saved.iter().map(|policy| policy.name.as_str()).collect();
    let at = match name {
        Some(name) => names.iter().position(|own| *own == name),
        None if names.len() == 1 => Some(0),
        None if names.is_empty() => miette::bail!("{} holds no trained policy", checkpoint.display()),
        None => {
            return Err(miette::miette!(
                help = format!("choose one with --policy: {}", names.join(", ")),
                "{} holds {} policies",
                checkpoint.display(),
                names.len()
            ));
        }
    };
    match (at, name) {
        (Some(at), _) => Ok(saved.swap_remove(at)),
        (None, name) => Err(miette::miette!(
            help = format!("it has {}; what does not learn is not saved", names.join(", ")),
            "{} has no policy `{}`",
            checkpoint.display(),
            name.unwrap_or_default()
        )),
    }
}

/// A policy on its base, which is read in the type that the run computed in.
fn trained<'a>(
    base: &'a Location,
    name: &str,
    saved: &SavedPolicy,
    computed: Stored,
) -> miette::Result<ModelExport<'a>> {
    // masters of a trained base are f32, and are read into it
    let placement = if saved.full { Stored::F32 } else { computed }.placement();
    let mut decoder = base.decoder(placement).map_err(|error| cannot_open(name, error.into()))?;
    let cannot = "cannot load the policy";
    let (config, tensors) = if saved.full {
        let id = PolicyId(0);
        let mut table = PolicyTable::default();
        let spec = PolicySpec::Full { optimizer: OptimizerConfig::default() };
        table.add(id, &spec, &mut decoder).into_diagnostic().wrap_err(cannot)?;
        table.load(id, &saved.folder, None, &decoder).into_diagnostic().wrap_err(cannot)?;
        (decoder.config().clone(), decoder.named_tensors())
    } else {
        let adapter = load_adapter(&saved.folder, decoder.config(), placement);
        merged(&decoder, &adapter.into_diagnostic().wrap_err(cannot)?)
    };
    Ok(ModelExport { base, config, tensors, kind: placement.kind })
}

/// A refusal as a report; an error that says what helps says it after `hint:`.
fn refused(error: ExportError) -> miette::Report {
    let text = error.to_string();
    match text.split_once("; hint: ") {
        Some((what, hint)) => miette::miette!(help = hint.to_owned(), "{what}"),
        None => Err::<(), _>(error).into_diagnostic().expect_err("it is an error"),
    }
}
