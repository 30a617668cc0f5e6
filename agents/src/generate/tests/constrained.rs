//! Answers held to a form, in a batch with answers that are not.

use regex::Regex;
use serde_json::{Value, json};

use super::*;
use crate::parse::Form;
use crate::text::Text;

/// The id that ends an answer of the byte tokenizer; the model has more ids than the tokenizer knows.
const END: u32 = 257;

fn reader(model: &Decoder, options: GeneratorOptions) -> Generator {
    Generator::new(model, Arc::new(Text::bytes().unwrap()), options).unwrap()
}

fn held(form: Form, policy: u32, seed: u64, max_tokens: usize) -> GenerateRequest {
    let mut request = request(policy, prompt(37, 1), seed, max_tokens);
    request.sampling.constraint = Some(form);
    request
}

fn schema() -> Form {
    Form::JsonSchema(json!({
        "type": "object", "additionalProperties": false, "required": ["tool", "n"],
        "properties": {"tool": {"enum": ["search", "stop"]}, "n": {"type": "integer", "minimum": -5, "maximum": 40},
                       "exact": {"type": "boolean"}},
        "x-guidance": {"whitespace_flexible": false},
    }))
}

fn text(answer: &GenerateResponse) -> String {
    assert_eq!(answer.finish, FinishReason::StopId(END), "{answer:?}");
    assert_eq!(answer.ids.last(), Some(&END));
    Text::bytes().unwrap().decode(&answer.ids)
}

/// Whether it is what [`schema`] asks for.
fn assert_fits(answer: &str) {
    let value: Value = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{answer:?}: {error}"));
    assert!(["search", "stop"].contains(&value["tool"].as_str().unwrap()), "{answer}");
    assert!((-5..=40).contains(&value["n"].as_i64().unwrap()), "{answer}");
    assert!(value.get("exact").is_none_or(Value::is_boolean), "{answer}");
}

#[test]
fn a_constrained_answer_always_parses_whatever_stands_beside_it() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let pattern = "(yes|no), because [a-zé☃]{1,5}[.!]";
    let requests: Vec<_> = (0..48)
        .map(|i| match i % 3 {
            0 => held(schema(), i as u32 % 5, i, 200),
            1 => held(Form::Regex(pattern.to_owned()), i as u32 % 5, i, 200),
            // The same prompt without a form.
            _ => request(i as u32 % 5, prompt(37, 1), i, 20),
        })
        .collect();
    let answers = run(&mut reader(&model, options()), &model, &policies, requests.clone());
    let mut texts = std::collections::BTreeSet::new();
    for (i, answer) in answers.iter().enumerate() {
        let answer = answer.as_ref().unwrap();
        match i % 3 {
            0 => assert_fits(&text(answer)),
            1 => assert!(Regex::new(&format!("^(?:{pattern})$")).unwrap().is_match(&text(answer))),
            _ => {
                assert_eq!(answer.finish, FinishReason::MaxTokens);
                continue;
            }
        }
        texts.insert(text(answer));
    }
    assert!(texts.len() > 20, "answers differ: {texts:?}");
    // Alone, each request gets the same bits.
    for index in [0, 1, 2, 30, 31] {
        let own = run(&mut reader(&model, options()), &model, &policies, vec![requests[index].clone()]).remove(0);
        assert_eq!(bits(&own.unwrap()), bits(answers[index].as_ref().unwrap()), "request {index}");
    }
}

#[test]
fn log_probabilities_are_those_of_what_was_allowed() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let requests = (0..24).map(|seed| held(Form::Regex("(a|b)cc".to_owned()), 0, seed, 9)).collect();
    let answers = run(&mut reader(&model, options()), &model, &policies, requests);
    // log p(a) and log p(b) by themselves, from samples that drew them.
    let mut plain = [None; 2];
    for answer in &answers {
        let answer = answer.as_ref().unwrap();
        plain[(answer.ids[0] - u32::from(b'a')) as usize] = Some(answer.logprobs_t1[0]);
    }
    let [a, b] = plain.map(|logprob| logprob.expect("24 samples draw both"));
    let allowed = (a.exp() + b.exp()).ln();
    for answer in answers {
        let answer = answer.unwrap();
        let own = if answer.ids[0] == u32::from(b'a') { a } else { b };
        assert!((answer.logprobs[0] - (own - allowed)).abs() < 1e-5, "{answer:?}");
        assert_eq!(answer.logprobs[1..], [0.0; 3], "only one id could follow, and the end is one too");
        assert!(answer.logprobs_t1[1..].iter().all(|&logprob| logprob < -1.0), "the model alone did not know");
    }
}

#[test]
fn an_answer_put_back_for_want_of_blocks_goes_on_in_its_form() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let per_block = kv::store::bytes_per_block(model.config(), Kind::Float);
    let tight = GeneratorOptions { cache_bytes: 11 * per_block, ..options() };
    let requests = || (0..6).map(|i| held(schema(), i as u32 % 5, i, 120)).collect::<Vec<_>>();
    let mut pressed = reader(&model, tight);
    let answers = run(&mut pressed, &model, &policies, requests());
    assert!(pressed.stats().preempted > 0);
    let roomy = run(&mut reader(&model, options()), &model, &policies, requests());
    for (one, other) in answers.iter().zip(&roomy) {
        assert_eq!(bits(one.as_ref().unwrap()), bits(other.as_ref().unwrap()));
        assert_fits(&text(one.as_ref().unwrap()));
    }
}

#[test]
fn limits_and_stop_strings_still_cut_an_answer_short() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let endless = Form::Regex("(ab)*c".to_owned());
    let stopped = {
        let mut request = held(Form::Regex("abababc".to_owned()), 0, 1, 50);
        request.sampling.stop = vec!["ba".to_owned()];
        request
    };
    let requests = vec![held(endless, 0, 1, 1), stopped];
    let answers = run(&mut reader(&model, options()), &model, &policies, requests);
    let [short, stopped] = [0, 1].map(|index| answers[index].as_ref().unwrap());
    assert_eq!((short.ids.len(), short.finish), (1, FinishReason::MaxTokens));
    assert_eq!(
        (Text::bytes().unwrap().decode(&stopped.ids), stopped.finish),
        ("aba".to_owned(), FinishReason::StopString(0))
    );
}

#[test]
fn a_form_that_cannot_be_followed_is_its_own_requests_error() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let mut suppressed = held(Form::Regex("[xy]z".to_owned()), 0, 1, 9);
    suppressed.sampling.suppressed = vec![b'z'.into()];
    let requests = vec![
        held(Form::Regex("(".to_owned()), 0, 1, 9),
        held(Form::JsonSchema(json!({"type": "no such type"})), 0, 1, 9),
        suppressed,
        held(schema(), 0, 1, 200),
    ];
    let answers = run(&mut reader(&model, options()), &model, &policies, requests);
    for (answer, part) in answers.iter().zip(["held to this form", "held to this form", "suppressed"]) {
        let error = answer.as_ref().unwrap_err();
        assert!(matches!(error, GenerateError::Constraint { .. }) && error.to_string().contains(part), "{error}");
    }
    assert_fits(&text(answers[3].as_ref().unwrap()));

    let nothing_is_text = run(&mut generator(&model, options()), &model, &policies, vec![held(schema(), 0, 1, 9)]);
    assert!(matches!(nothing_is_text[0], Err(GenerateError::Constraint { .. })), "{nothing_is_text:?}");
}
