//! Tests of the decoders against other programs, against each other, and against damaged files.

mod batch;
mod damaged;
mod gguf;
mod parity;
mod random;

use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// A file that the scripts in `tests/reference/` wrote.
pub(super) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(super) fn json<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&fs_err::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// The largest distance between two lists of one length.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
