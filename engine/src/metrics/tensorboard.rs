//! TensorBoard event files: scalars, texts and histograms.
//!
//! The format is that of TensorFlow's `tf.train.Event` records: each record is its length, a masked CRC-32C of the length,
//! the protocol-buffer message, and a masked CRC-32C of the message. Sources: `tensorflow/core/lib/io/record_writer.h`,
//! `tensorflow/core/util/event.proto`, `tensorflow/core/framework/summary.proto`.

use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err::File;

/// Writes one event file.
#[derive(Debug)]
pub struct EventWriter {
    file: File,
}

impl EventWriter {
    /// A new event file in `folder`, which is made where it is missing. `purge_step` tells TensorBoard to forget what an
    /// earlier file of the same run says about that step and later ones: the first step a resumed run will write.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(folder: &Path, purge_step: Option<u64>) -> std::io::Result<Self> {
        fs_err::create_dir_all(folder)?;
        let now = now();
        let name = format!("events.out.tfevents.{:010}.marft.{}", now as u64, std::process::id());
        let mut writer = Self { file: File::create(folder.join(name))? };
        let mut event = Message::default();
        event.double(1, now).bytes(3, b"brain.Event:2");
        writer.record(&event.0)?;
        if let Some(step) = purge_step {
            // SessionLog { status: START }
            let mut log = Message::default();
            log.varint(1, 1);
            let mut event = Message::default();
            event.double(1, now).varint(2, step).bytes(7, &log.0);
            writer.record(&event.0)?;
        }
        Ok(writer)
    }

    /// A number at a step.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64) -> std::io::Result<()> {
        let mut summary = Message::default();
        summary.bytes(1, tag.as_bytes()).float(2, value as f32);
        self.summary(step, &summary)
    }

    /// A text at a step, shown as Markdown.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) -> std::io::Result<()> {
        const DT_STRING: u64 = 7;
        let (mut plugin_data, mut metadata) = (Message::default(), Message::default());
        plugin_data.bytes(1, b"text");
        metadata.bytes(1, &plugin_data.0);
        // TensorProto of shape [1]
        let (mut dimension, mut shape, mut tensor) = (Message::default(), Message::default(), Message::default());
        dimension.varint(1, 1);
        shape.bytes(2, &dimension.0);
        tensor.varint(1, DT_STRING).bytes(2, &shape.0).bytes(8, text.as_bytes());
        let mut summary = Message::default();
        summary.bytes(1, tag.as_bytes()).bytes(9, &metadata.0).bytes(8, &tensor.0);
        self.summary(step, &summary)
    }

    /// The distribution of `values` at a step, in `buckets` of equal width.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn histogram(&mut self, tag: &str, step: u64, values: &[f64], buckets: usize) -> std::io::Result<()> {
        let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        if finite.is_empty() || buckets == 0 {
            return Ok(());
        }
        let low = finite.iter().copied().fold(f64::INFINITY, f64::min);
        let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let width = if high > low { (high - low) / buckets as f64 } else { 1.0 };
        let mut counts = vec![0.0; buckets];
        for value in &finite {
            counts[(((value - low) / width) as usize).min(buckets - 1)] += 1.0;
        }
        let limits: Vec<f64> = (1..=buckets).map(|edge| low + width * edge as f64).collect();
        let mut histogram = Message::default();
        histogram
            .double(1, low)
            .double(2, high)
            .double(3, finite.len() as f64)
            .double(4, finite.iter().sum())
            .double(5, finite.iter().map(|value| value * value).sum())
            .packed(6, &limits)
            .packed(7, &counts);
        let mut summary = Message::default();
        summary.bytes(1, tag.as_bytes()).bytes(5, &histogram.0);
        self.summary(step, &summary)
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }

    fn summary(&mut self, step: u64, value: &Message) -> std::io::Result<()> {
        let mut summary = Message::default();
        summary.bytes(1, &value.0);
        let mut event = Message::default();
        event.double(1, now()).varint(2, step).bytes(5, &summary.0);
        self.record(&event.0)
    }

    fn record(&mut self, data: &[u8]) -> std::io::Result<()> {
        let length = (data.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(data.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(data);
        record.extend(masked_crc(data).to_le_bytes());
        self.file.write_all(&record)
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// TFRecord's mask keeps the CRC of data that itself holds CRCs from degenerating.
fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protocol-buffer message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn tag(&mut self, field: u64, wire: u64) {
        self.raw_varint(field << 3 | wire);
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u64, value: u64) -> &mut Self {
        self.tag(field, 0);
        self.raw_varint(value);
        self
    }

    fn double(&mut self, field: u64, value: f64) -> &mut Self {
        self.tag(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn float(&mut self, field: u64, value: f32) -> &mut Self {
        self.tag(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(&mut self, field: u64, value: &[u8]) -> &mut Self {
        self.tag(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn packed(&mut self, field: u64, values: &[f64]) -> &mut Self {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.bytes(field, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // masked_crc32c of tensorboard 2.20: tensorboard.compat.tensorflow_stub.pywrap_tensorflow.masked_crc32c
    #[test]
    fn crc_is_masked_as_tensorflow_masks_it() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }

    #[test]
    fn records_are_framed_and_hold_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), Some(4)).unwrap();
        writer.scalar("reward/mean", 7, 0.5).unwrap();
        writer.text("note", 7, "a *b*").unwrap();
        writer.histogram("advantage", 7, &[-1.0, 0.0, 1.0, f64::NAN], 4).unwrap();
        writer.flush().unwrap();
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let bytes = std::fs::read(path).unwrap();
        let (mut at, mut records) = (0, vec![]);
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            assert_eq!(masked_crc(&bytes[at..at + 8]).to_le_bytes(), bytes[at + 8..at + 12]);
            let data = &bytes[at + 12..at + 12 + length];
            assert_eq!(masked_crc(data).to_le_bytes(), bytes[at + 12 + length..at + 16 + length]);
            records.push(data.to_vec());
            at += 16 + length;
        }
        assert_eq!(records.len(), 5);
        assert!(records[2].windows(11).any(|w| w == b"reward/mean"));
        assert!(records[2].ends_with(&0.5_f32.to_le_bytes()));
    }

    /// Needs Python with tensorboard: the interpreter that `MARFT_TEST_PYTHON` names, else `python3`. Where the package is
    /// missing the test says so and checks nothing.
    #[test]
    fn tensorboard_reads_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::create(folder.path(), None).unwrap();
        for (step, value) in [(1, 0.5), (2, -0.25)] {
            writer.scalar("reward/mean", step, value).unwrap();
        }
        writer.text("note", 2, "a *b*").unwrap();
        writer.histogram("advantage", 2, &[-1.0, -0.9, 1.0, f64::NAN], 2).unwrap();
        writer.flush().unwrap();
        let python = std::env::var_os("MARFT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/tensorboard_events.py");
        let ran = match std::process::Command::new(&python).arg(script).arg(folder.path()).output() {
            Ok(ran) => ran,
            Err(error) => return eprintln!("skipped: cannot run {}: {error}", python.display()),
        };
        let said = String::from_utf8_lossy(&ran.stderr);
        if ran.status.code() == Some(77) {
            return eprintln!("skipped: tensorboard is not at hand: {}", said.trim());
        }
        assert!(ran.status.success(), "{said}");
        let read: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert_eq!(read["scalars"], serde_json::json!({"reward/mean": [[1, 0.5], [2, -0.25]]}));
        assert_eq!(read["texts"], serde_json::json!({"note": [[2, "a *b*"]]}));
        assert_eq!(read["histograms"], serde_json::json!({"advantage": [[2, 3.0, [2.0, 1.0]]]}));
    }
}
