//! Decoding that can only produce text of a given form: JSON of a schema, or a match of a regular expression.
//!
//! Before each token the constraint says which ids may follow; whoever samples suppresses all others. Ids that end an answer
//! are allowed exactly where the text is complete. The grammar engine is llguidance, which walks the vocabulary as a tree of
//! bytes, so a token may cross any boundary of the grammar.

use std::fmt;
use std::sync::Arc;

use super::form::Form;
use crate::text::Text;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, SimpleVob, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};

/// Why an answer cannot be constrained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConstraintError {
    /// What the tokens stand for is not known.
    #[error("these tokens stand for no text, so an answer cannot be held to a form")]
    NoText,
    /// The tokenizer has no id that ends an answer.
    #[error("the tokenizer names no id that ends an answer, so a constrained answer could not end")]
    NoEnd,
    /// The schema or the expression cannot be followed.
    #[error("an answer cannot be held to this form: {reason}")]
    Form {
        /// What is wrong with it.
        reason: String,
    },
    /// The id is not in the set that was allowed.
    #[error("token id {id} does not continue the required form")]
    Refused {
        /// The id.
        id: u32,
    },
    /// The form became too large to follow. The answer must be given up.
    #[error("the constraint cannot be followed any further: {reason}")]
    Exhausted {
        /// The limit that was met.
        reason: String,
    },
}

/// Makes constraints for one vocabulary. Building it takes a fraction of a second, so it is kept with the tokenizer.
pub struct Constraints {
    factory: ParserFactory,
    vocabulary: usize,
    end_ids: Vec<u32>,
}

impl fmt::Debug for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Constraints").field("vocabulary", &self.vocabulary).finish_non_exhaustive()
    }
}

impl Constraints {
    /// Reads the vocabulary of `text`. Special tokens other than those that end an answer are never allowed.
    pub fn new(text: &Text) -> Result<Self, ConstraintError> {
        let vocabulary = text.table().len();
        let end_ids: Vec<u32> =
            text.specials().end_ids.iter().copied().filter(|&id| (id as usize) < vocabulary).collect();
        let first_end = *end_ids.first().ok_or(ConstraintError::NoEnd)?;
        let words: Vec<Vec<u8>> = (0..vocabulary as u32)
            .map(|id| if end_ids.contains(&id) { Vec::new() } else { text.table().bytes(id).to_vec() })
            .collect();
        let trie = TokTrie::from(&TokRxInfo::new(vocabulary as u32, first_end), &words).with_eos_tokens(&end_ids);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&env).map_err(form_error)?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, vocabulary, end_ids })
    }

    /// Number of ids that the sets of its constraints speak of.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// A constraint at the beginning of an answer.
    pub fn start(&self, form: &Form) -> Result<Constraint, ConstraintError> {
        let grammar = match form {
            Form::JsonSchema(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Form::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
        };
        let mut matcher = Matcher::new(self.factory.create_parser(grammar));
        if let Some(reason) = matcher.get_error() {
            return Err(form_error(reason));
        }
        let accepting = matcher.is_accepting().map_err(form_error)?;
        Ok(Constraint { matcher, end_ids: self.end_ids.clone(), allowed: None, accepting, ended: false })
    }
}

/// Follows one answer.
pub struct Constraint {
    matcher: Matcher,
    end_ids: Vec<u32>,
    /// What may come next, once it was asked for.
    allowed: Option<TokenSet>,
    accepting: bool,
    ended: bool,
}

impl fmt::Debug for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Constraint");
        fields.field("accepting", &self.accepting).field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl Constraint {
    /// The ids that may come next: at least one until the answer has ended, none after.
    pub fn mask(&mut self) -> Result<&TokenSet, ConstraintError> {
        let set = match self.allowed.take() {
            Some(set) => set,
            None if self.ended => TokenSet(SimpleVob::new()),
            None => TokenSet(self.matcher.compute_mask_or_eos().map_err(exhausted)?),
        };
        Ok(self.allowed.insert(set))
    }

    /// Goes on behind `id`. An id that is not allowed is refused and changes nothing.
    pub fn commit(&mut self, id: u32) -> Result<(), ConstraintError> {
        if !self.mask()?.allows(id) {
            return Err(ConstraintError::Refused { id });
        }
        self.allowed = None;
        if self.end_ids.contains(&id) {
            self.ended = true;
            return Ok(());
        }
        self.matcher.consume_token(id).map_err(exhausted)?;
        self.accepting = self.matcher.is_accepting().map_err(exhausted)?;
        Ok(())
    }

    /// Whether the text so far has the required form; it may still be allowed to go on.
    pub fn is_complete(&self) -> bool {
        self.accepting
    }

    /// Whether an id that ends the answer has come.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}

/// Ids that may come next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSet(SimpleVob);

impl TokenSet {
    /// Whether `id` is among them; ids outside the vocabulary are not.
    pub fn allows(&self, id: u32) -> bool {
        (id as usize) < self.0.len() && self.0.is_allowed(id)
    }

    /// A bit for each id: id i is bit i % 32 of word i / 32.
    pub fn words(&self) -> &[u32] {
        self.0.as_slice()
    }

    /// The ids in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter()
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.0.num_set()
    }

    /// Whether nothing may follow.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn form_error(error: impl fmt::Display) -> ConstraintError {
    ConstraintError::Form { reason: error.to_string() }
}

fn exhausted(error: impl fmt::Display) -> ConstraintError {
    ConstraintError::Exhausted { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;
    use serde_json::{Value, json};

    const END: u32 = 257;

    fn bytes() -> (Text, Constraints) {
        let text = Text::bytes().unwrap();
        let constraints = Constraints::new(&text).unwrap();
        (text, constraints)
    }

    fn schema() -> Value {
        json!({
            "type": "object", "additionalProperties": false, "required": ["name", "arguments"],
            "properties": {
                "name": {"enum": ["search", "take\n\"it\""]},
                "arguments": {"type": "object", "additionalProperties": false, "required": ["n", "flags"], "properties": {
                    "n": {"type": "integer", "minimum": -20, "maximum": 1000},
                    "q": {"type": "string", "maxLength": 6},
                    "flags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3}}},
            },
            "x-guidance": {"whitespace_flexible": false},
        })
    }

    /// Samples from random logits under the constraint until it ends.
    fn sample(text: &Text, constraints: &Constraints, form: &Form, seed: u64) -> String {
        let mut constraint = constraints.start(form).unwrap();
        let mut state = seed;
        let mut logit = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut ids = Vec::new();
        while !constraint.has_ended() {
            assert!(ids.len() < 500, "{:?}", text.decode(&ids));
            let mask = constraint.mask().unwrap();
            assert!(!mask.is_empty());
            let logits: Vec<u64> = (0..300).map(|_| logit()).collect();
            let id = (0..300u32).filter(|&id| mask.allows(id)).max_by_key(|&id| logits[id as usize]).unwrap();
            assert_eq!(mask.allows(END), constraint.is_complete());
            constraint.commit(id).unwrap();
            ids.push(id);
        }
        assert_eq!(ids.pop(), Some(END));
        assert!(constraint.mask().unwrap().is_empty());
        text.decode(&ids)
    }

    #[test]
    fn random_logits_always_give_json_of_the_schema() {
        let (text, constraints) = bytes();
        let form = Form::JsonSchema(schema());
        let mut flags = [0; 4];
        for seed in 0..60 {
            let answer = sample(&text, &constraints, &form, seed);
            let value: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
            let arguments = &value["arguments"];
            assert!(["search", "take\n\"it\""].contains(&value["name"].as_str().unwrap()), "{answer}");
            assert!((-20..=1000).contains(&arguments["n"].as_i64().unwrap()), "{answer}");
            assert!(arguments.get("q").is_none_or(|q| q.as_str().unwrap().chars().count() <= 6), "{answer}");
            let list = arguments["flags"].as_array().unwrap();
            assert!(list.iter().all(Value::is_boolean), "{answer}");
            flags[list.len()] += 1;
            assert!(arguments.as_object().unwrap().len() <= 3 && value.as_object().unwrap().len() == 2, "{answer}");
        }
        assert!(flags.iter().filter(|&&count| count > 0).count() > 1, "answers differ: {flags:?}");
    }

    #[test]
    fn an_answer_may_end_only_where_it_is_complete() {
        let (_, constraints) = bytes();
        let mut constraint = constraints.start(&Form::Regex("ab?".to_owned())).unwrap();
        assert_eq!(constraint.commit(END), Err(ConstraintError::Refused { id: END }));
        assert_eq!(constraint.commit(b'b'.into()), Err(ConstraintError::Refused { id: b'b'.into() }));
        assert_eq!(constraint.commit(256), Err(ConstraintError::Refused { id: 256 }), "special tokens write nothing");
        assert_eq!(constraint.commit(u32::MAX), Err(ConstraintError::Refused { id: u32::MAX }));
        assert_eq!(constraint.mask().unwrap().iter().collect::<Vec<_>>(), [u32::from(b'a')]);
        constraint.commit(b'a'.into()).unwrap();
        assert!(constraint.is_complete() && !constraint.has_ended());
        assert_eq!(constraint.mask().unwrap().iter().collect::<Vec<_>>(), [u32::from(b'b'), END]);
        constraint.commit(b'b'.into()).unwrap();
        assert_eq!(constraint.mask().unwrap().iter().collect::<Vec<_>>(), [END]);
        constraint.commit(END).unwrap();
        assert!(constraint.has_ended() && constraint.mask().unwrap().is_empty());
        assert_eq!(constraint.commit(END), Err(ConstraintError::Refused { id: END }));
    }

    #[test]
    fn the_empty_text_may_have_the_form() {
        let (_, constraints) = bytes();
        let mut constraint = constraints.start(&Form::Regex("a*".to_owned())).unwrap();
        assert!(constraint.is_complete());
        assert_eq!(constraint.mask().unwrap().iter().collect::<Vec<_>>(), [u32::from(b'a'), END]);
    }

    #[test]
    fn forms_that_cannot_be_followed_are_refused() {
        let (_, constraints) = bytes();
        let schemas = [
            json!({"type": "no such type"}),
            json!(["object"]),
            json!(false),
            json!({"$ref": "http://localhost/schema.json"}),
            json!({"type": "string", "pattern": "("}),
            json!({"type": "integer", "minimum": 3, "maximum": 2}),
        ];
        for form in
            schemas.into_iter().map(Form::JsonSchema).chain(["(", "(?=a)", "[b-a]"].map(|p| Form::Regex(p.to_owned())))
        {
            let error = constraints.start(&form).expect_err(&format!("{form:?}"));
            assert!(matches!(error, ConstraintError::Form { .. }), "{form:?}: {error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn random_logits_always_give_a_match(seed in any::<u64>(), which in 0usize..5) {
            let pattern = ["[0-9]{1,3}(\\.[0-9]{2})?", "(yes|no|nobody)", "Action: [a-zé☃]{0,4}!", "a?/b", "x{2,5}|"][which];
            let (text, constraints) = bytes();
            let answer = sample(&text, &constraints, &Form::Regex(pattern.to_owned()), seed);
            prop_assert!(Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(&answer), "{answer:?} for {pattern}");
        }

        #[test]
        fn no_commit_panics(ids in prop::collection::vec(any::<u32>().prop_map(|id| id % 400), 0..40)) {
            let (_, constraints) = bytes();
            let mut constraint = constraints.start(&Form::JsonSchema(json!({"type": "object"}))).unwrap();
            for id in ids {
                let allowed = constraint.mask().unwrap().allows(id);
                prop_assert_eq!(constraint.commit(id).is_ok(), allowed);
            }
        }
    }
}
