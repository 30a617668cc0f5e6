//! The best candidate by an employed judge, asked once per candidate.

use serde_json::{Map, Value};

use super::vote::best;
use super::{Answer, Input, Step};
use crate::spec::Tie;
use crate::team::NodeId;
use crate::turns::message::Message;
use crate::turns::turn::Brief;

/// Best-of-n under way.
#[derive(Debug, Clone)]
pub(in crate::turns) struct BestOf {
    pub(in crate::turns) judge: NodeId,
    pub(in crate::turns) task: String,
    pub(in crate::turns) inputs: Vec<Input>,
    pub(in crate::turns) tie: Tie,
    pub(in crate::turns) draw: u64,
}

impl BestOf {
    pub(super) fn next(&mut self, answers: Option<&Vec<Answer>>) -> Step {
        match answers {
            None if self.inputs.is_empty() => Step::Done(None),
            None => Step::Ask(scoring(self.judge, &self.task, &self.inputs)),
            Some(answers) => {
                let scores: Vec<_> = answers.iter().map(|answer| score(answer, "score")).collect();
                Step::Done(best(&self.inputs, &scores, self.tie, self.draw))
            }
        }
    }
}

/// One question per candidate.
pub(super) fn scoring(judge: NodeId, task: &str, inputs: &[Input]) -> Vec<Brief> {
    let brief = |(index, input): (usize, &Input)| Brief {
        node: Some(judge),
        text: format!("{task}\n\nCandidate:\n{}\n\nHow good is it? Give a number as its score.", input.text),
        names: Map::from_iter([
            ("candidate".to_owned(), Value::Object(input.record.clone())),
            ("index".to_owned(), index.into()),
        ]),
    };
    inputs.iter().enumerate().map(brief).collect()
}

/// The score in a judge's answer: its numeric field, or the last number in its words.
pub(super) fn score(answer: &Answer, field: &str) -> Option<f64> {
    let message: &Message = answer.as_deref()?;
    let value = match message.fields.get(field) {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::Bool(flag)) => Some(f64::from(u8::from(*flag))),
        Some(Value::String(text)) => number_in(text),
        _ => number_in(&message.public),
    };
    value.filter(|score| score.is_finite())
}

/// The last number in a text.
pub(in crate::turns) fn number_in(text: &str) -> Option<f64> {
    text.split(|sign: char| !sign.is_ascii_digit() && !matches!(sign, '.' | '-'))
        .filter_map(|part| part.trim_end_matches(['.', '-']).parse().ok())
        .next_back()
}
