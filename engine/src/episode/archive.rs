//! Episode archives: zstd-compressed JSON lines, one record a line, read back without loss.

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use fs_err::File;

use super::EpisodeRecord;
use super::record::{FORMAT, RecordError};

/// Why an archive was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The file could not be read, or is no zstd stream; the message names it.
    #[error("{path}: {source}")]
    Io {
        /// The archive.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A line is no record.
    #[error("{path}, record {line}: {message}")]
    Malformed {
        /// The archive.
        path: PathBuf,
        /// Which record, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Written by a later version.
    #[error("{path}, record {line}: its format is {found}, and this version reads up to {FORMAT}")]
    TooNew {
        /// The archive.
        path: PathBuf,
        /// Which record, from 1.
        line: usize,
        /// Its format.
        found: u32,
    },
    /// A record contradicts itself.
    #[error("{path}, record {line}: {source}")]
    Invalid {
        /// The archive.
        path: PathBuf,
        /// Which record, from 1.
        line: usize,
        /// The contradiction.
        source: RecordError,
    },
}

/// Writes all records of a step in one go: to a file beside the target that takes its name when it is whole.
///
/// # Errors
/// The disk refuses; the target is then what it was before.
pub fn write(path: &Path, records: &[EpisodeRecord]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs_err::create_dir_all(folder)?;
    // readable for whom the umask lets, as a file that is simply created
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let unfinished = tempfile::Builder::new().prefix(".episodes").permissions(mode).tempfile_in(folder)?;
    {
        let mut encoder = zstd::Encoder::new(BufWriter::new(unfinished.as_file()), 3)?;
        encoder.include_checksum(true)?;
        for record in records {
            serde_json::to_writer(&mut encoder, record)?;
            encoder.write_all(b"\n")?;
        }
        encoder.finish()?.flush()?;
    }
    unfinished.as_file().sync_all()?;
    unfinished.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// All records of an archive, each checked.
///
/// # Errors
/// The first damaged record.
pub fn read(path: &Path) -> Result<Vec<EpisodeRecord>, ArchiveError> {
    let refuse = |source| ArchiveError::Io { path: path.to_owned(), source };
    let decoder = zstd::Decoder::new(File::open(path).map_err(refuse)?).map_err(refuse)?;
    let mut records = vec![];
    for (at, line) in BufReader::new(decoder).lines().enumerate() {
        let number = at + 1;
        let text = line.map_err(refuse)?;
        let malformed = |error: serde_json::Error| ArchiveError::Malformed {
            path: path.to_owned(),
            line: number,
            message: error.to_string(),
        };
        let found = serde_json::from_str::<Version>(&text).map_err(malformed)?.format;
        if found > FORMAT {
            return Err(ArchiveError::TooNew { path: path.to_owned(), line: number, found });
        }
        let record: EpisodeRecord = serde_json::from_str(&text).map_err(malformed)?;
        record.validate().map_err(|source| ArchiveError::Invalid { path: path.to_owned(), line: number, source })?;
        records.push(record);
    }
    Ok(records)
}

#[derive(serde::Deserialize)]
struct Version {
    format: u32,
}

#[cfg(test)]
mod tests {
    use super::super::record::example;
    use super::*;

    #[test]
    fn what_is_written_is_read_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("episodes/4.jsonl.zst");
        let mut second = example();
        second.segments[0].logprobs = vec![-f32::MIN_POSITIVE, -123.456_79];
        let records = vec![example(), second];
        write(&path, &records).unwrap();
        assert_eq!(read(&path).unwrap(), records);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn damage_is_an_error_and_never_a_shorter_list() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.jsonl.zst");
        write(&path, &vec![example(); 50]).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        assert!(matches!(read(&path), Err(ArchiveError::Io { .. })));
        std::fs::write(&path, b"not zstd").unwrap();
        assert!(matches!(read(&path), Err(ArchiveError::Io { .. })));
    }

    #[test]
    fn later_formats_and_contradictions_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.jsonl.zst");
        write(&path, &[EpisodeRecord { format: FORMAT + 1, ..example() }]).unwrap();
        assert!(matches!(read(&path), Err(ArchiveError::TooNew { line: 1, .. })));
        let mut torn = example();
        torn.segments[0].ids.pop();
        write(&path, &[torn]).unwrap();
        assert!(matches!(read(&path), Err(ArchiveError::Invalid { .. })));
    }
}
