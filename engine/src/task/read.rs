//! Reads data files into tasks: JSON lines, one JSON array, CSV with a header, and Parquet.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use fs_err::File;
use serde_json::{Map, Value};

use super::Task;

/// Why a data file was not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file could not be opened or read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A line is not what the format asks.
    #[error("{path}:{line}: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Line of the file, from 1; for Parquet the row.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// The file as a whole is not what its ending says.
    #[error("{path}: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Two rows have the same id.
    #[error("{path}: the id `{id}` stands on two rows; ids tell tasks apart in records and intervals")]
    DuplicateId {
        /// The file.
        path: PathBuf,
        /// The id.
        id: String,
    },
    /// No row at all.
    #[error("{path} holds no rows")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// An ending that stands for no known format.
    #[error("{path}: unknown kind of data file; known are .jsonl, .json, .csv, .tsv and .parquet")]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
}

/// All rows of a data file, the format told by its ending.
///
/// # Errors
/// Every malformed row is an error that names its line: a row is never skipped.
pub fn read_rows(path: &Path) -> Result<Vec<Task>, ReadError> {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    let rows = match ending.as_str() {
        "jsonl" | "ndjson" => json_lines(path)?,
        "json" => json_array(path)?,
        "csv" => separated(path, b',')?,
        "tsv" => separated(path, b'\t')?,
        "parquet" => parquet_rows(path)?,
        _ => return Err(ReadError::UnknownFormat { path: path.to_owned() }),
    };
    name(path, rows)
}

fn json_lines(path: &Path) -> Result<Vec<(u64, Map<String, Value>)>, ReadError> {
    let mut rows = vec![];
    for (at, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let number = at as u64 + 1;
        let refuse = |message| ReadError::Line { path: path.to_owned(), line: number, message };
        let line = line.map_err(|error| refuse(error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let row = serde_json::from_str(&line).map_err(|error| refuse(format!("not a JSON object: {error}")))?;
        rows.push((number, row));
    }
    Ok(rows)
}

fn json_array(path: &Path) -> Result<Vec<(u64, Map<String, Value>)>, ReadError> {
    let rows: Vec<Map<String, Value>> =
        serde_json::from_reader(BufReader::new(File::open(path)?)).map_err(|error| ReadError::File {
            path: path.to_owned(),
            message: format!("not a JSON array of objects: {error}"),
        })?;
    Ok((1..).zip(rows).collect())
}

fn separated(path: &Path, delimiter: u8) -> Result<Vec<(u64, Map<String, Value>)>, ReadError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(BufReader::new(File::open(path)?));
    let line_of = |error: &csv::Error| error.position().map_or(0, csv::Position::line);
    let refuse = |error: csv::Error| ReadError::Line {
        path: path.to_owned(),
        line: line_of(&error),
        message: error.to_string(),
    };
    let header = reader.headers().map_err(refuse)?.clone();
    let mut rows = vec![];
    for record in reader.records() {
        let record = record.map_err(refuse)?;
        let line = record.position().map_or(0, csv::Position::line);
        let row = header.iter().zip(&record).map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        rows.push((line, row));
    }
    Ok(rows)
}

fn parquet_rows(path: &Path) -> Result<Vec<(u64, Map<String, Value>)>, ReadError> {
    use parquet::file::reader::FileReader as _;
    let refuse = |error: parquet::errors::ParquetError| ReadError::File {
        path: path.to_owned(),
        message: format!("not a readable Parquet file: {error}"),
    };
    let reader =
        parquet::file::serialized_reader::SerializedFileReader::new(File::open(path)?.into_file()).map_err(refuse)?;
    let mut rows = vec![];
    for (at, row) in reader.get_row_iter(None).map_err(refuse)?.enumerate() {
        let line = at as u64 + 1;
        match row.map_err(refuse)?.to_json_value() {
            Value::Object(fields) => rows.push((line, fields)),
            other => {
                let message = format!("not a row of columns: {other}");
                return Err(ReadError::Line { path: path.to_owned(), line, message });
            }
        }
    }
    Ok(rows)
}

/// Gives every row its id and refuses ids that stand twice.
fn name(path: &Path, rows: Vec<(u64, Map<String, Value>)>) -> Result<Vec<Task>, ReadError> {
    if rows.is_empty() {
        return Err(ReadError::Empty { path: path.to_owned() });
    }
    let mut seen = std::collections::HashSet::with_capacity(rows.len());
    let mut tasks = Vec::with_capacity(rows.len());
    for (line, fields) in rows {
        let mut task = Task { id: String::new(), fields };
        task.id = task.text("id").unwrap_or_else(|| line.to_string());
        if !seen.insert(task.id.clone()) {
            return Err(ReadError::DuplicateId { path: path.to_owned(), id: task.id });
        }
        tasks.push(task);
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, content: &[u8]) -> Result<Vec<Task>, ReadError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        read_rows(&path)
    }

    #[test]
    fn json_lines_keep_their_columns_and_line_numbers() {
        let rows = read("a.jsonl", b"{\"q\": 1}\n\n{\"q\": \"two\", \"id\": 9}\n").unwrap();
        assert_eq!((rows[0].id.as_str(), rows[1].id.as_str()), ("1", "9"));
        assert_eq!(rows[1].text("q").as_deref(), Some("two"));
    }

    #[test]
    fn csv_with_quotes() {
        let rows = read("a.csv", b"question,answer\n\"a, b\",3\n").unwrap();
        assert_eq!(rows[0].text("question").as_deref(), Some("a, b"));
        assert_eq!(rows[0].number("answer"), Some(3.0));
    }

    #[test]
    fn malformed_files_are_named_with_their_line() {
        let message = |name, content: &[u8]| read(name, content).unwrap_err().to_string();
        assert!(message("a.jsonl", b"{\"q\": 1}\n{oops\n").contains("a.jsonl:2: not a JSON object"));
        assert!(message("a.csv", b"a,b\n1\n").contains("a.csv:2:"));
        assert!(message("a.json", b"{}").contains("not a JSON array"));
        assert!(message("a.jsonl", b"").contains("holds no rows"));
        assert!(message("a.txt", b"x").contains("unknown kind of data file"));
        assert!(message("a.parquet", b"PAR1 nonsense").contains("not a readable Parquet file"));
        assert!(message("a.jsonl", b"{\"id\":1}\n{\"id\":\"1\"}\n").contains("stands on two rows"));
        assert!(message("a.jsonl", b"\xff\xfe").contains("a.jsonl"));
    }

    // written by pyarrow 22: pq.write_table(pa.table({"question": ["a","b"], "answer": [1, 2]}), …, compression="snappy")
    #[test]
    fn parquet() {
        let rows = read("a.parquet", include_bytes!("../../tests/fixtures/two_rows.parquet")).unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[1].text("question").as_deref(), rows[1].number("answer")), (Some("b"), Some(2.0)));
    }
}
