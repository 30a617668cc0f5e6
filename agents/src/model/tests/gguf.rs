//! GGUF files: decoding against the `gguf` package, models against transformers (`tests/reference/gguf_files.py`).

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;

use super::{distance, fixture, json};
use crate::model::gguf::{Format, GgufSource, Header};
use crate::model::{Decoder, Placement};

#[derive(Deserialize)]
struct Blocks {
    bytes: String,
    values: Vec<f32>,
}

fn format(name: &str) -> Format {
    match name {
        "F16" => Format::F16,
        "BF16" => Format::BF16,
        "Q4_0" => Format::Q4_0,
        "Q4_1" => Format::Q4_1,
        "Q5_0" => Format::Q5_0,
        "Q5_1" => Format::Q5_1,
        "Q8_0" => Format::Q8_0,
        "Q4_K" => Format::Q4_K,
        "Q5_K" => Format::Q5_K,
        "Q6_K" => Format::Q6_K,
        other => panic!("no format {other}"),
    }
}

#[test]
fn every_format_decodes_as_the_gguf_package_does() {
    let cases: BTreeMap<String, Blocks> = json("gguf/blocks.json");
    assert_eq!(cases.len(), 10);
    for (name, blocks) in cases {
        let digits = blocks.bytes.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        let bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect();
        let values = format(&name).decode(&bytes);
        let scale = blocks.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(distance(&values, &blocks.values) <= 1e-6 * scale, "{name}: {}", distance(&values, &blocks.values));
    }
}

#[test]
fn files_of_every_family_give_the_log_probs_of_transformers() {
    #[derive(Deserialize)]
    struct Case {
        file: String,
        ids: Vec<u32>,
        logprobs: Vec<f32>,
    }
    for case in json::<Vec<Case>>("gguf/log_probs.json") {
        let source = GgufSource::open(&fixture("gguf").join(&case.file)).unwrap();
        let decoder = Decoder::load(source.config(), &source, Placement::EXACT).unwrap();
        let scores = decoder.score(&case.ids, None).unwrap();
        assert!(distance(&scores, &case.logprobs) < 1e-4, "{}: {}", case.file, distance(&scores, &case.logprobs));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever bytes of a header are changed, reading ends with a header whose tensors lie in the file, or an error.
    #[test]
    fn a_mutated_header_is_refused_or_consistent(
        changes in prop::collection::vec((0_usize..3000, any::<u8>()), 1..8),
        cut in prop::option::of(0_usize..46_000),
    ) {
        let mut bytes = fs_err::read(fixture("gguf/llama.gguf")).unwrap();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(usize::MAX));
        if let Ok(header) = Header::read(&bytes[..], bytes.len() as u64) {
            for (name, info) in header.tensors {
                prop_assert!(info.offset + info.bytes <= bytes.len() as u64, "{name}: {info:?}");
            }
        }
    }

    /// The same for the lengths and counts, which are what makes a reader ask for memory.
    #[test]
    fn hostile_counts_are_refused(at in prop::sample::select(vec![8_usize, 16, 24]), count in any::<u64>()) {
        let mut bytes = fs_err::read(fixture("gguf/llama.gguf")).unwrap();
        let true_count = bytes[at..at + 8].to_vec();
        bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
        prop_assume!(count.to_le_bytes() != true_count[..]);
        prop_assert!(Header::read(&bytes[..], bytes.len() as u64).is_err());
    }
}
