//! The folder of a run: what is in it, who may write to it, and what the run was made of.
//!
//! ```text
//! run.json            settings, versions, hashes of team, data and base
//! metrics.jsonl       one object a step
//! tensorboard/        event files
//! human.jsonl         what people were asked and answered
//! served.json         versions of policies that servers may hold
//! episodes/           token-exact episodes of each step, compressed
//! evaluations/        episodes and scores of each evaluation
//! checkpoints/<step>/ adapters in PEFT format and all that is needed to go on
//! ```

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::TrainerError;
use crate::settings::{FILE, RunSettings, Stage};

/// File name of what a run was made of.
pub(super) const BUNDLE: &str = "run.json";

/// What a run was made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// Version of marft that began the run.
    pub marft: String,
    /// Everything the run was told.
    pub settings: RunSettings,
    /// SHA-256 of the files it read, by path.
    pub files: BTreeMap<String, String>,
    /// Threads of the CPU's kernels; 0 where it was not written down.
    #[serde(default)]
    pub threads: usize,
}

impl Bundle {
    /// Hashes the files that the settings name, and the `adapters` that the team starts from, by folder.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of<'a>(settings: &RunSettings, adapters: impl IntoIterator<Item = &'a str>) -> Result<Self, TrainerError> {
        let mut paths: Vec<PathBuf> = settings.task.sources.iter().map(|source| source.file.clone()).collect();
        for stage in &settings.stages {
            if let Stage::Sft(sft) = stage {
                paths.push(sft.demonstrations.clone());
            }
        }
        let team = PathBuf::from(&settings.team);
        paths.extend(team.is_file().then_some(team));
        let base = PathBuf::from(&settings.model.base);
        paths.extend(if base.is_dir() {
            files_of_model(&base)?
        } else {
            Vec::from_iter(base.is_file().then_some(base))
        });
        let named = settings.tools.iter().filter_map(|tool| tool.tool.settings.get(FILE)?.as_str());
        paths.extend(named.map(PathBuf::from).filter(|path| path.is_file()));
        for folder in adapters {
            paths.extend(["adapter_config.json", "adapter_model.safetensors"].map(|name| Path::new(folder).join(name)));
        }
        let mut files = BTreeMap::new();
        for path in paths {
            files.insert(path.display().to_string(), sha256(&path)?);
        }
        let threads = settings.model.threads.unwrap_or_else(|| tch::get_num_threads().unsigned_abs() as usize);
        Ok(Self { marft: env!("CARGO_PKG_VERSION").to_owned(), settings: settings.clone(), files, threads })
    }

    /// Files that are not any more as the run read them, with what became of them.
    pub fn changed(&self) -> Vec<String> {
        let state = |(path, before): (&String, &String)| match sha256(Path::new(path)) {
            Ok(now) => (now != *before).then(|| format!("{path} has changed")),
            Err(error) => Some(error.to_string()),
        };
        self.files.iter().filter_map(state).collect()
    }

    /// Settings and files in which `self`, now, differs from `earlier`, as far as they decide the numbers of a step. How long
    /// a run goes on, how often it is looked at and what is written down may change.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let mut differences = vec![];
        let plain = |bundle: &Self| serde_json::to_value(&bundle.settings).unwrap_or_default();
        compare("", &plain(earlier), &plain(self), &mut differences);
        for (path, hash) in &self.files {
            if earlier.files.get(path).is_some_and(|before| before != hash) {
                differences.push(format!("{path} has changed"));
            }
        }
        let (before, now) = (earlier.threads, self.threads);
        if self.settings.deterministic && before != now && before > 0 {
            // how a product is cut among threads decides how its sums are rounded
            differences.push(format!("model.threads was {before} and is {now}"));
        }
        differences
    }
}

/// Paths that may differ between a run and its continuation. How a team is evaluated may not: scores are compared with those
/// of the untrained team and with the best so far.
const FREE: [&str; 12] = [
    "name",
    "eval.every",
    "eval.before",
    "checkpoint",
    "serve",
    "log",
    "train.steps",
    "train.budget",
    "train.early_stop",
    "rollout.concurrency",
    "model.cache_mib",
    "model.threads",
];

fn compare(path: &str, before: &Value, now: &Value, differences: &mut Vec<String>) {
    let of_stage = path.strip_prefix("stages.").and_then(|rest| rest.split_once('.'));
    let is_free = FREE.contains(&path) || of_stage.is_some_and(|(_, key)| key == "steps");
    if is_free || before == now {
        return;
    }
    match (before, now) {
        (Value::Object(before), Value::Object(now)) => {
            let keys: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
            for key in keys {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, &of(before), &of(now), differences);
            }
        }
        (Value::Array(before), Value::Array(now)) if before.len() == now.len() => {
            for (at, (before, now)) in before.iter().zip(now).enumerate() {
                compare(&format!("{path}.{at}"), before, now, differences);
            }
        }
        _ => differences.push(format!("{path} was {before} and is {now}")),
    }
}

/// The files of a model's folder that say what the model is: weights, configuration, tokenizer, chat template.
fn files_of_model(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let of_model = ["json", "safetensors", "model", "jinja"];
        if path.is_file() && path.extension().is_some_and(|end| of_model.iter().any(|own| end == *own)) {
            files.push(path);
        }
    }
    Ok(files)
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hasher.update(&buffer[..read]);
    }
}

/// A run's folder, held by this process alone.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Keeps others out for as long as it is open.
    _lock: Option<fs::File>,
}

impl Folder {
    /// Makes the folder, or opens it, for writing.
    ///
    /// # Errors
    /// It cannot be made, or another process holds it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, TrainerError> {
        let path = path.into();
        fs::create_dir_all(&path)?;
        let lock = fs::File::options().create(true).truncate(false).write(true).open(path.join(".lock"))?;
        match lock.file().try_lock() {
            Ok(()) => Ok(Self { path, _lock: Some(lock) }),
            Err(std::fs::TryLockError::WouldBlock) => Err(TrainerError::Locked(path)),
            Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
        }
    }

    /// Opens it for reading.
    pub fn look_at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), _lock: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what the run was made of; `None` where no run has begun here.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn bundle(&self) -> Result<Option<Bundle>, TrainerError> {
        let path = self.path.join(BUNDLE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let read = serde_json::from_slice(&text);
        read.map(Some).map_err(|error| TrainerError::State { path, reason: error.to_string() })
    }

    /// Writes what the run is made of, whole or not at all.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_bundle(&self, bundle: &Bundle) -> Result<(), TrainerError> {
        let text = serde_json::to_vec_pretty(bundle).map_err(std::io::Error::from)?;
        self.write_whole(BUNDLE, &text)
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write_whole(&self, name: &str, content: &[u8]) -> Result<(), TrainerError> {
        let target = self.path.join(name);
        let folder = target.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        // readable for whom the umask lets, as a file that is simply created
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let mut unfinished = tempfile::Builder::new().prefix(".unfinished").permissions(mode).tempfile_in(folder)?;
        std::io::Write::write_all(&mut unfinished, content)?;
        unfinished.as_file().sync_all()?;
        unfinished.persist(&target).map_err(|error| error.error)?;
        Ok(())
    }

    /// The episodes of a step.
    pub fn episodes(&self, step: u64) -> PathBuf {
        self.path.join("episodes").join(format!("{step:06}.jsonl.zst"))
    }

    /// The episodes of an evaluation.
    pub fn evaluation(&self, step: u64) -> PathBuf {
        self.path.join("evaluations").join(format!("{step:06}.jsonl.zst"))
    }

    /// What people were asked and answered; there only where a policy of the team is a person.
    pub fn exchanges(&self) -> PathBuf {
        self.path.join("human.jsonl")
    }

    /// The checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Removes what was written about steps from `step` on: they will be done again.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn forget_from(&self, step: u64) -> Result<(), TrainerError> {
        for folder in ["episodes", "evaluations"] {
            let Ok(entries) = fs::read_dir(self.path.join(folder)) else { continue };
            for entry in entries {
                let path = entry?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let of = name.split('.').next().and_then(|number| number.parse::<u64>().ok());
                if of.is_some_and(|of| of >= step) {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_named_by_path_and_free_ones_left_out() {
        let before = json!({"seed": 1, "train": {"steps": 5, "beta1": 0.9}, "stages": [{"kind": "rl", "steps": 5}]});
        let now = json!({"seed": 2, "train": {"steps": 9, "beta1": 0.8}, "stages": [{"kind": "rl", "steps": 9}]});
        let mut differences = vec![];
        compare("", &before, &now, &mut differences);
        assert_eq!(differences, ["seed was 1 and is 2", "train.beta1 was 0.9 and is 0.8"]);
    }

    #[test]
    fn what_is_written_whole_may_be_read_by_whom_a_plain_file_may() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::look_at(home.path());
        folder.write_whole("whole.json", b"{}").unwrap();
        crate::episode::write(&folder.episodes(1), &[]).unwrap();
        fs::write(home.path().join("plain"), "").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode();
        let plain = mode(home.path().join("plain"));
        assert_eq!([mode(home.path().join("whole.json")), mode(folder.episodes(1))], [plain, plain]);
    }

    #[test]
    fn a_folder_belongs_to_one_process_at_a_time() {
        let home = tempfile::tempdir().unwrap();
        let held = Folder::open(home.path().join("run")).unwrap();
        assert!(matches!(Folder::open(held.path()), Err(TrainerError::Locked(_))));
        let path = held.path().to_owned();
        drop(held);
        Folder::open(path).unwrap();
    }
}
