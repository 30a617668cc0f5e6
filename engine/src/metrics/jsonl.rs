//! `metrics.jsonl`: one object a step, appended and flushed as the step ends, cut back to the checkpoint on resume.

use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use fs_err::{File, OpenOptions};
use serde_json::{Map, Value};

/// Appends one line a step.
#[derive(Debug)]
pub struct MetricsLog {
    file: File,
    /// The newest line that was there before.
    earlier: Map<String, Value>,
}

impl MetricsLog {
    /// Opens the log for the steps from `step` on: lines of those steps, and a line that a killed process tore, are cut off,
    /// so that a resumed run writes every step once.
    ///
    /// # Errors
    /// The file cannot be opened, read or cut.
    pub fn from(path: &Path, step: u64) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let (mut keep, mut earlier) = (0, Map::new());
        let mut reader = BufReader::new(&mut file);
        let mut line = vec![];
        while reader.read_until(b'\n', &mut line)? > 0 {
            let row = serde_json::from_slice::<Map<String, Value>>(&line).unwrap_or_default();
            let of_step = row.get("step").and_then(Value::as_u64);
            if !line.ends_with(b"\n") || of_step.is_none_or(|of| of >= step) {
                break;
            }
            keep += line.len() as u64;
            earlier = row;
            line.clear();
        }
        drop(reader);
        file.file().set_len(keep)?;
        file.seek(SeekFrom::Start(keep))?;
        Ok(Self { file, earlier })
    }

    /// A number of the newest line that was there when the log was opened.
    pub fn earlier(&self, name: &str) -> Option<f64> {
        self.earlier.get(name)?.as_f64()
    }

    /// Appends one step's metrics. Numbers that are not finite become `null`, as JSON has no other word for them.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&mut self, step: u64, metrics: &Map<String, Value>) -> std::io::Result<()> {
        let mut row = Map::with_capacity(metrics.len() + 1);
        row.insert("step".to_owned(), Value::from(step));
        row.extend(metrics.iter().map(|(name, value)| (name.clone(), value.clone())));
        let mut line = serde_json::to_vec(&row)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resumed_log_holds_every_step_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let row = |value: f64| json!({"reward": value}).as_object().unwrap().clone();
        let mut log = MetricsLog::from(&path, 1).unwrap();
        assert_eq!(log.earlier("step"), None);
        for step in 1..=5 {
            log.write(step, &row(0.5)).unwrap();
        }
        let mut torn = std::fs::read_to_string(&path).unwrap();
        torn.push_str("{\"step\": 6, \"rew");
        std::fs::write(&path, torn).unwrap();

        let mut log = MetricsLog::from(&path, 4).unwrap();
        assert_eq!(log.earlier("step"), Some(3.0));
        log.write(4, &row(f64::NAN)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 4);
        assert_eq!(text.lines().last(), Some(r#"{"step":4,"reward":null}"#));

        MetricsLog::from(&path, 0).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }
}
