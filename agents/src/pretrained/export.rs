//! Writing a model as a Hugging Face folder, which transformers and [`Location`] open: whole or not at all.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use fs_err as fs;
use serde_json::{Map, Value};
use tch::{Kind, Tensor};

use super::location::Location;
use crate::model::{ModelConfig, ModelError};
use crate::tensor_file;

/// Files of a model folder that belong to its text side and do not depend on its weights.
const TEXT_FILES: [&str; 10] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
];
/// Folder of the templates beside `chat_template.jinja`.
const MORE_TEMPLATES: &str = "additional_chat_templates";

/// Why a model was not written. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The folder holds something already.
    #[error("`{}` is there and not an empty folder; hint: name a folder that is new or empty", _0.display())]
    Occupied(PathBuf),
    /// The disk refuses; the message names the file.
    #[error("the model was not written to `{}`: {source}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// The operating system's reason.
        #[source]
        source: io::Error,
    },
    /// The shape has no form as `config.json`.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A model in memory, about to be written.
#[derive(Debug)]
pub struct ModelExport<'a> {
    /// The model that it began as: tokenizer and chat template are taken from there.
    pub base: &'a Location,
    /// Its shape.
    pub config: ModelConfig,
    /// Its weights by Hugging Face names, as `Decoder::named_tensors` gives them.
    pub tensors: Vec<(String, Tensor)>,
    /// The type that the weights are stored in: f32, bf16 or f16.
    pub kind: Kind,
}

impl ModelExport<'_> {
    /// Whether a model may be written to `folder`: it is not there, or empty.
    ///
    /// # Errors
    /// It is something else, or cannot be looked at.
    pub fn vacant(folder: &Path) -> Result<(), ExportError> {
        let refuse = |source| ExportError::Write { folder: folder.to_owned(), source };
        if folder.symlink_metadata().is_err() {
            return Ok(());
        }
        if folder.is_dir() && fs::read_dir(folder).map_err(refuse)?.next().is_none() {
            return Ok(());
        }
        Err(ExportError::Occupied(folder.to_owned()))
    }

    /// Writes `config.json`, `model.safetensors`, and what the base has of tokenizer and chat template, to `folder`, which
    /// appears when all of it is on the disk. Returns what could not be written and why the model does without it, for people.
    ///
    /// # Errors
    /// The folder is not empty, the disk refuses, the shape has no form as `config.json`.
    pub fn write(&self, folder: &Path) -> Result<Vec<String>, ExportError> {
        Self::vacant(folder)?;
        let mut config = self.config.to_json(self.kind)?;
        let (files, roles, notes) = self.text_side();
        for (role, id) in roles {
            config[role] = id;
        }
        let refuse = |source| ExportError::Write { folder: folder.to_owned(), source };
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(refuse)?;
        let unfinished = tempfile::Builder::new().prefix(".unfinished").tempdir_in(parent).map_err(refuse)?;
        self.fill(unfinished.path(), &config, files).map_err(refuse)?;
        fs::rename(unfinished.path(), folder).map_err(refuse)?;
        fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(refuse)?;
        Ok(notes)
    }

    fn fill(&self, folder: &Path, config: &Value, files: Vec<(String, Source)>) -> io::Result<()> {
        for (name, source) in files {
            let path = folder.join(name);
            if let Some(above) = path.parent() {
                fs::create_dir_all(above)?;
            }
            match source {
                Source::Text(text) => write(&path, text.as_bytes())?,
                Source::File(from) => write(&path, &fs::read(from)?)?,
            }
        }
        write(&folder.join("config.json"), format!("{config:#}\n").as_bytes())?;
        let stored: Vec<_> =
            self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.detach().to_kind(self.kind))).collect();
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        tensor_file::write(&folder.join("model.safetensors"), &stored, metadata)
    }

    /// Files of the text side by name, the ids of special tokens as `config.json` has them, and what is missing.
    fn text_side(&self) -> (Vec<(String, Source)>, Map<String, Value>, Vec<String>) {
        if let Location::Folder(base) = self.base {
            let files = copied(base);
            let whole = files.iter().any(|(name, _)| name == TEXT_FILES[0]);
            let note = || format!("`{}` has no tokenizer.json, and so has the model", base.display());
            return (files, stated_roles(base), if whole { vec![] } else { vec![note()] });
        }
        let written = self.base.text().and_then(|text| Ok((text.files(self.config.context)?, text.role_ids())));
        match written {
            Ok((files, roles)) => {
                let files = files.into_iter().map(|(name, content)| (name.to_owned(), Source::Text(content)));
                (files.collect(), roles, vec![])
            }
            Err(error) => (vec![], Map::new(), vec![format!("the model has no tokenizer.json, for {error}")]),
        }
    }
}

/// Where the content of a file comes from.
enum Source {
    Text(String),
    File(PathBuf),
}

/// Text files of a model folder, by name.
fn copied(base: &Path) -> Vec<(String, Source)> {
    let mut names: Vec<String> = TEXT_FILES.iter().map(|name| (*name).to_owned()).collect();
    for entry in fs::read_dir(base.join(MORE_TEMPLATES)).into_iter().flatten().flatten() {
        names.push(format!("{MORE_TEMPLATES}/{}", entry.file_name().to_string_lossy()));
    }
    let file = |name: String| {
        let path = base.join(&name);
        path.is_file().then_some((name, Source::File(path)))
    };
    names.into_iter().filter_map(file).collect()
}

/// What the base's own `config.json` says of special tokens; nothing where it cannot be read.
fn stated_roles(base: &Path) -> Map<String, Value> {
    let read = fs::read(base.join("config.json")).ok();
    let config: Value = read.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let stated = |role: &str| {
        let places = [&config["text_config"][role], &config[role]];
        places.into_iter().find(|id| !id.is_null()).map(|id| (role.to_owned(), id.clone()))
    };
    ["bos_token_id", "eos_token_id", "pad_token_id"].into_iter().filter_map(stated).collect()
}

/// Writes a file and flushes it to the disk.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Decoder, Placement};
    use crate::pretrained::Store;

    /// Writes the model at `base` to `folder`; its scores, and what is noted.
    fn exported(base: &Location, folder: &Path) -> (Vec<f32>, Vec<String>) {
        let decoder = base.decoder(Placement::EXACT).unwrap();
        let (config, tensors) = (decoder.config().clone(), decoder.named_tensors());
        let notes = ModelExport { base, config, tensors, kind: Kind::Float }.write(folder).unwrap();
        (scores(&decoder), notes)
    }

    fn scores(decoder: &Decoder) -> Vec<f32> {
        decoder.score(&[5, 9, 3, 7, 2], None).unwrap()
    }

    fn scores_of(folder: &Path) -> Vec<f32> {
        scores(&Location::Folder(folder.to_owned()).decoder(Placement::EXACT).unwrap())
    }

    #[test]
    fn a_model_of_every_family_is_itself_again() {
        let home = tempfile::tempdir().unwrap();
        for family in ["llama", "qwen2", "qwen3,hidden=32", "gemma3,hidden=32"] {
            let base = Location::resolve(&format!("random:{family}"), &Store::at(home.path())).unwrap();
            let (first, second) = (home.path().join(family), home.path().join("again").join(family));
            let (before, notes) = exported(&base, &first);
            assert_eq!((scores_of(&first), &notes[..]), (before.clone(), &[][..]), "{family}");
            // what was written is a base like any other
            let folder = Location::Folder(first);
            exported(&folder, &second);
            assert_eq!(scores_of(&second), before, "{family}");
            let texts = [&base, &folder, &Location::Folder(second)].map(|location| location.text().unwrap());
            assert!(texts.iter().all(|text| text.specials() == texts[0].specials() && text.has_template()));
        }
        let left = std::fs::read_dir(home.path()).unwrap().count();
        assert_eq!(left, 5, "no unfinished folder stays");
    }

    fn gguf(family: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf").join(format!("{family}.gguf"))
    }

    #[test]
    fn a_gguf_file_becomes_a_folder_with_its_tokenizer() {
        let home = tempfile::tempdir().unwrap();
        for family in ["llama", "qwen2", "qwen3", "gemma3"] {
            let (base, folder) = (Location::Gguf(gguf(family)), home.path().join(family));
            let (before, notes) = exported(&base, &folder);
            assert_eq!((scores_of(&folder), &notes[..]), (before, &[][..]), "{family}");
            let (text, again) = (base.text().unwrap(), Location::Folder(folder).text().unwrap());
            assert_eq!((again.specials(), again.templates()), (text.specials(), text.templates()), "{family}");
            for words in ["a few w\u{f6}rds", "  two  spaces\n"] {
                let ids = text.encode_document(words).unwrap();
                assert_eq!(again.encode_document(words).unwrap(), ids, "{family}");
                assert_eq!(again.decode(&ids), text.decode(&ids), "{family}");
            }
        }
    }

    #[test]
    fn a_tokenizer_that_cannot_be_rebuilt_is_said_and_the_weights_are_written() {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = std::fs::read(gguf("llama")).unwrap();
        let key = b"tokenizer.ggml.model";
        // after the key: the type of the value, its length, and the five letters of `llama`
        let value = bytes.windows(key.len()).position(|part| part == key).unwrap() + key.len() + 12;
        bytes[value..value + 5].copy_from_slice(b"other");
        let file = home.path().join("other.gguf");
        std::fs::write(&file, bytes).unwrap();
        let folder = home.path().join("model");
        let (before, notes) = exported(&Location::Gguf(file), &folder);
        let [note] = &notes[..] else { panic!("{notes:?}") };
        assert!(note.contains("no tokenizer.json") && note.contains("`other` is not supported"), "{note}");
        assert_eq!(scores_of(&folder), before);
        assert!(!folder.join("tokenizer_config.json").exists());
    }

    #[test]
    fn a_folder_in_use_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("precious");
        std::fs::write(&file, "x").unwrap();
        for taken in [home.path(), &file] {
            assert!(matches!(ModelExport::vacant(taken), Err(ExportError::Occupied(_))), "{}", taken.display());
        }
        let empty = home.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        exported(&Location::resolve("random:llama", &Store::at(home.path())).unwrap(), &empty);
        assert!(empty.join("model.safetensors").is_file());
    }
}
