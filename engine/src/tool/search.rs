//! Search over rows of a file, ranked by BM25 (Robertson and Zaragoza 2009, eq. 3.15; k1 = 1.2, b = 0.75).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Tool, ToolFuture, ToolRequest, argument};
use crate::settings::{Kind, KindError};
use crate::task::read_rows;

/// How fast a word's weight saturates.
const K1: f64 = 1.2;
/// How much long texts are discounted.
const B: f64 = 0.75;

/// Finds texts by their words.
#[derive(Debug)]
pub struct Search {
    texts: Vec<String>,
    /// By word: the texts it stands in, and how often.
    index: HashMap<String, Vec<(usize, u32)>>,
    /// Words of each text.
    lengths: Vec<u32>,
    results: usize,
}

/// As written in a run file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// JSONL, JSON, CSV, TSV or Parquet; a row a text.
    file: PathBuf,
    /// The column with the texts.
    #[serde(default = "text")]
    column: String,
    /// Most texts in one result.
    #[serde(default = "three")]
    results: usize,
}

fn text() -> String {
    "text".to_owned()
}

const fn three() -> usize {
    3
}

impl Search {
    /// Reads the file and indexes it.
    ///
    /// # Errors
    /// A file that cannot be read, a row without a text, settings that make no sense.
    pub fn of(kind: &Kind) -> Result<Self, KindError> {
        let Settings { file, column, results } = kind.read()?;
        let fault = |key: &str, message: String| KindError { key: Some(key.to_owned()), ..KindError::new(message) };
        if results == 0 {
            return Err(fault("results", "a search has at least one result".to_owned()));
        }
        let rows = read_rows(&file).map_err(|error| fault("file", error.to_string()))?;
        let texts = rows.iter().map(|row| row.text(&column).ok_or(&row.id)).collect::<Result<Vec<_>, _>>();
        let texts = texts.map_err(|id| fault("column", format!("row `{id}` has no text in `{column}`")))?;
        Ok(Self::over(texts, results))
    }

    /// Over texts in memory.
    pub fn over(texts: Vec<String>, results: usize) -> Self {
        let mut index: HashMap<String, Vec<(usize, u32)>> = HashMap::new();
        let mut lengths = vec![];
        for (at, text) in texts.iter().enumerate() {
            let mut counts: BTreeMap<String, u32> = BTreeMap::new();
            words(text).for_each(|word| *counts.entry(word).or_default() += 1);
            lengths.push(counts.values().sum());
            for (word, count) in counts {
                index.entry(word).or_default().push((at, count));
            }
        }
        Self { texts, index, lengths, results }
    }

    /// The best texts for a query, the best first; equals in the order of the file.
    pub fn find(&self, query: &str) -> Vec<&str> {
        let mut ranked: Vec<(usize, f64)> = self.scores(query).into_iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.into_iter().take(self.results).map(|(at, _)| self.texts[at].as_str()).collect()
    }

    /// The score of every text that has a word of the query.
    fn scores(&self, query: &str) -> BTreeMap<usize, f64> {
        let count = self.texts.len() as f64;
        let mean = self.lengths.iter().map(|length| f64::from(*length)).sum::<f64>() / count.max(1.0);
        let mut scores: BTreeMap<usize, f64> = BTreeMap::new();
        for texts in words(query).filter_map(|word| self.index.get(&word)) {
            let having = texts.len() as f64;
            let rarity = (1.0 + (count - having + 0.5) / (having + 0.5)).ln();
            for (at, times) in texts {
                let times = f64::from(*times);
                let long = 1.0 - B + B * f64::from(self.lengths[*at]) / mean;
                *scores.entry(*at).or_default() += rarity * times * (K1 + 1.0) / (times + K1 * long);
            }
        }
        scores
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

impl Tool for Search {
    fn call(&self, request: ToolRequest) -> ToolFuture<'_> {
        let found = |query: &str| match self.find(query) {
            texts if texts.is_empty() => "nothing found".to_owned(),
            texts => texts.join("\n"),
        };
        Box::pin(async move { Ok(argument(&request, "query").map_or_else(|told| told, found)) })
    }

    fn schema(&self) -> Option<Value> {
        Some(json!({
            "name": "search",
            "description": "Finds texts by their words.",
            "parameters": {
                "type": "object",
                "properties": { "query": { "type": "string" } },
                "required": ["query"],
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_words_in_short_texts_come_first() {
        let texts =
            ["The capital of Chad is N'Djamena.", "The capital of Fiji is Suva, on the island of Viti Levu.", "Fiji"];
        let search = Search::over(texts.map(str::to_owned).to_vec(), 2);
        assert_eq!(search.find("capital of FIJI?"), [texts[1], texts[0]]);
        assert_eq!(search.find("Fiji"), [texts[2], texts[1]]);
        assert!(search.find("Peru").is_empty());
    }

    /// By hand: two texts of 2 and 1 words, mean 1.5. One of the two has the word, which makes ln(1 + 1.5 / 1.5) = ln 2; it is
    /// 4/3 as long as the mean, which makes 2.2 / (1 + 1.2 * 1.25) = 0.88.
    #[test]
    fn scores_are_those_of_the_formula() {
        let search = Search::over(vec!["a b".to_owned(), "c".to_owned()], 1);
        let scores = search.scores("a");
        assert_eq!(scores.len(), 1);
        assert!((scores[&0] - 0.609_969_518_892_76).abs() < 1e-12, "{scores:?}");
        assert_eq!(search.find("a"), ["a b"]);
    }
}
