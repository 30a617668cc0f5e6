//! SentencePiece vocabularies with scores, as byte-pair merges.
//!
//! The file lists pieces with scores only. A piece that is made by joining two others is a merge; merges apply in the order
//! of the pieces' scores, and of two ways to make one piece the one with the earlier parts counts first.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Merges, Vocab};

/// The model of a vocabulary `pieces` with `scores`.
pub(super) fn model(pieces: &[String], scores: &[f32], unknown: Option<&str>) -> Result<BPE, String> {
    if pieces.len() != scores.len() {
        return Err(format!("{} pieces with {} scores", pieces.len(), scores.len()));
    }
    let ids: HashMap<&str, u32> = pieces.iter().enumerate().map(|(id, piece)| (piece.as_str(), id as u32)).collect();
    let mut merges: Vec<(f32, u32, u32, &str, &str)> = Vec::new();
    for (piece, &score) in pieces.iter().zip(scores) {
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            if let (Some(&left_id), Some(&right_id)) = (ids.get(left), ids.get(right)) {
                merges.push((score, left_id, right_id, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| (a.1, a.2).cmp(&(b.1, b.2))));
    let merges: Merges = merges.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect();
    let vocabulary: Vocab = pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), id as u32)).collect();
    let mut builder = BPE::builder().vocab_and_merges(vocabulary, merges).fuse_unk(true).byte_fallback(true);
    if let Some(unknown) = unknown {
        builder = builder.unk_token(unknown.to_owned());
    }
    builder.build().map_err(|error| error.to_string())
}

/// Spaces are written `▁`, at the start too where the model adds one.
pub(super) fn normalizer(adds_space: bool) -> Value {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    if adds_space {
        json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]})
    } else {
        replace
    }
}

/// Undoes [`normalizer`] and joins bytes.
pub(super) fn decoder(adds_space: bool) -> Value {
    let mut steps = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if adds_space {
        steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    json!({"type": "Sequence", "decoders": steps})
}
