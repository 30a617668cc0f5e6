//! The text side of a GGUF file, rebuilt from its metadata.

use serde_json::{Value as Json, json};
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper, Tokenizer};

use super::error::TextError;
use super::sentencepiece;
use super::specials::SpecialTokens;
use super::tokenizer::{Text, TextParts};
use crate::model::gguf::{Header, Value};

/// Token types of the format.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Text {
    /// Rebuilds tokenizer, special tokens and chat template from the metadata of the file `origin`.
    pub fn from_gguf(header: &Header, origin: &str) -> Result<Self, TextError> {
        let fault = |reason: String| TextError::Tokenizer { origin: origin.to_owned(), reason };
        let pieces = header.texts("tokenizer.ggml.tokens").ok_or_else(|| fault("it has none".to_owned()))?;
        let token = |role: &str| {
            let id = header.integer(&format!("tokenizer.ggml.{role}_token_id"))?;
            pieces.get(usize::try_from(id).ok()?).cloned()
        };
        let specials = SpecialTokens {
            bos: token("bos"),
            eos: token("eos"),
            pad: token("padding"),
            unk: token("unknown"),
            end_ids: Vec::new(),
        };
        let tokenizer = tokenizer(header, pieces, &specials).map_err(fault)?;
        let end_ids = ["eos", "eot", "eom"]
            .into_iter()
            .filter_map(|role| header.integer(&format!("tokenizer.ggml.{role}_token_id")))
            .filter_map(|id| u32::try_from(id).ok())
            .collect();
        let mut templates = Vec::new();
        for (name, key) in [("default", "tokenizer.chat_template"), ("tool_use", "tokenizer.chat_template.tool_use")] {
            templates.extend(header.text(key).map(|source| (name.to_owned(), source.to_owned())));
        }
        Self::new(TextParts { origin: origin.to_owned(), tokenizer, specials, end_ids, templates })
    }
}

fn tokenizer(header: &Header, pieces: &[String], specials: &SpecialTokens) -> Result<Tokenizer, String> {
    let flag = |key: &str| header.integer(&format!("tokenizer.ggml.{key}")).map(|value| value != 0);
    let kind = header.text("tokenizer.ggml.model").unwrap_or("unnamed");
    let mut tokenizer = match kind {
        "gpt2" => byte_level(header, pieces)?,
        "llama" => {
            let Some(Value::Floats(scores)) = header.metadata.get("tokenizer.ggml.scores") else {
                return Err("a SentencePiece vocabulary without scores".to_owned());
            };
            let adds_space = flag("add_space_prefix").unwrap_or(true);
            let mut tokenizer = Tokenizer::new(sentencepiece::model(pieces, scores, specials.unk.as_deref())?);
            let normalizer: NormalizerWrapper = step(sentencepiece::normalizer(adds_space))?;
            tokenizer.with_normalizer(Some(normalizer)).map_err(|error| error.to_string())?;
            tokenizer.with_decoder(Some(step::<DecoderWrapper>(sentencepiece::decoder(adds_space))?));
            tokenizer
        }
        other => return Err(format!("tokenizer model `{other}` is not supported, only gpt2 and llama")),
    };
    add_tokens(&mut tokenizer, header, pieces)?;
    let begins = flag("add_bos_token").unwrap_or(kind == "llama");
    if let Some(bos) = specials.bos.as_ref().filter(|_| begins) {
        let processor = begin(bos, &tokenizer)?;
        tokenizer.with_post_processor(Some(processor));
    }
    Ok(tokenizer)
}

fn byte_level(header: &Header, pieces: &[String]) -> Result<Tokenizer, String> {
    let merges: Merges = header
        .texts("tokenizer.ggml.merges")
        .ok_or("a byte-pair vocabulary without merges")?
        .iter()
        .map(|merge| {
            let parts = merge.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned()));
            parts.ok_or_else(|| format!("merge `{merge}` has no two parts"))
        })
        .collect::<Result<_, _>>()?;
    let vocabulary: Vocab = pieces.iter().enumerate().map(|(id, piece)| (piece.clone(), id as u32)).collect();
    let pre = header.text("tokenizer.ggml.pre").unwrap_or("default");
    let digits = json!({"type": "Digits", "individual_digits": true});
    // GPT-2's own rule is built into the step that spells bytes.
    let (first, built_in_rule, normalizer) = match pre {
        "gpt-2" | "default" => (None, true, None),
        "smollm" => (Some(digits), true, None),
        "qwen2" => (Some(split(QWEN2)), false, Some(json!({"type": "NFC"}))),
        "llama-bpe" => (Some(split(LLAMA3)), false, None),
        other => {
            return Err(format!("splitting rule `{other}` is not supported, only smollm, qwen2, llama-bpe and gpt-2"));
        }
    };
    let ignore_merges = pre == "llama-bpe";
    let model = BPE::builder().vocab_and_merges(vocabulary, merges).ignore_merges(ignore_merges).build();
    let mut tokenizer = Tokenizer::new(model.map_err(|error| error.to_string())?);
    if let Some(normalizer) = normalizer {
        tokenizer.with_normalizer(Some(step::<NormalizerWrapper>(normalizer)?)).map_err(|error| error.to_string())?;
    }
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": built_in_rule});
    let steps: Vec<Json> = first.into_iter().chain([bytes.clone()]).collect();
    let sequence = json!({"type": "Sequence", "pretokenizers": steps});
    tokenizer.with_pre_tokenizer(Some(step::<PreTokenizerWrapper>(sequence)?));
    tokenizer.with_decoder(Some(step::<DecoderWrapper>(bytes)?));
    Ok(tokenizer)
}

fn split(pattern: &str) -> Json {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

/// A step of the pipeline, from the form it has in `tokenizer.json`.
fn step<T: serde::de::DeserializeOwned>(description: Json) -> Result<T, String> {
    serde_json::from_value(description).map_err(|error| error.to_string())
}

/// Marks control and user-defined tokens, which are found in text before it is split.
fn add_tokens(tokenizer: &mut Tokenizer, header: &Header, pieces: &[String]) -> Result<(), String> {
    let Some(Value::Integers(types)) = header.metadata.get("tokenizer.ggml.token_type") else { return Ok(()) };
    let of_type = |kind: i64, special: bool| {
        let chosen = pieces.iter().zip(types).filter(move |(_, found)| **found == kind);
        chosen.map(move |(piece, _)| AddedToken::from(piece.clone(), special).normalized(false))
    };
    tokenizer.add_special_tokens(of_type(CONTROL, true)).map_err(|error| error.to_string())?;
    tokenizer.add_tokens(of_type(USER_DEFINED, false)).map_err(|error| error.to_string())?;
    Ok(())
}

/// Puts the begin-of-text token before a document.
fn begin(bos: &str, tokenizer: &Tokenizer) -> Result<PostProcessorWrapper, String> {
    let id = tokenizer.token_to_id(bos).ok_or_else(|| format!("the vocabulary lacks its own `{bos}`"))?;
    let token = json!({"SpecialToken": {"id": bos, "type_id": 0}});
    let sequence = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    step(json!({
        "type": "TemplateProcessing",
        "single": [token, sequence("A", 0)],
        "pair": [token, sequence("A", 0), sequence("B", 1)],
        "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
    }))
}
