//! The files the rules look at: those that git knows or would take, so that build output and local settings are left
//! alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use fs_err as fs;

/// A text file of the repository.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Relative to the root.
    pub(super) path: PathBuf,
    pub(super) text: String,
}

impl SourceFile {
    #[cfg(test)]
    pub(super) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.to_owned() }
    }

    /// Lines with their numbers, counted from one.
    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    pub(super) fn is_rust(&self) -> bool {
        self.has_extension("rs")
    }

    pub(super) fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }
}

/// Every text file of the checkout. Binary files (images, weights) are left out.
pub(super) fn read(root: &Path) -> Result<Vec<SourceFile>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().context("could not start git, which knows the files of the repository")?;
    ensure!(output.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;

    let mut files = Vec::new();
    for name in names.split_terminator('\0') {
        let path = root.join(name);
        // Listed, but deleted in the working tree, or a submodule.
        if !path.is_file() {
            continue;
        }
        if let Ok(text) = String::from_utf8(fs::read(&path)?) {
            files.push(SourceFile { path: name.into(), text });
        }
    }
    Ok(files)
}
