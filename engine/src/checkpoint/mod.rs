//! Checkpoints: one atomic commit of everything a run needs to go on bit for bit.
//!
//! A checkpoint is a folder named by its step. It is written under another name, every file and the folder are flushed to
//! the disk, a manifest with the SHA-256 of every file is written last, and only then does the folder get its name. So a
//! killed process, a full disk or a power cut leaves either the whole checkpoint or none, and what was damaged later is
//! found by its hash and passed over for the one before.

mod manifest;
mod store;

pub use manifest::{Manifest, ManifestError};
pub use store::{CheckpointError, Checkpoints, Found, Rejected};
