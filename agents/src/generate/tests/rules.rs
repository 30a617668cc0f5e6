//! How answers end and what sampling parameters do.

use super::*;

fn setup() -> (Decoder, Table) {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    (model, policies)
}

fn with(sampling: Sampling) -> GenerateRequest {
    GenerateRequest { sampling, ..request(0, prompt(12, 3), 4, 0) }
}

#[test]
fn the_stop_id_is_part_of_the_answer_and_may_be_all_of_it() {
    let (model, policies) = setup();
    let free = alone(&model, &policies, request(0, prompt(12, 3), 4, 30));
    assert_eq!((free.ids.len(), free.finish), (30, FinishReason::MaxTokens));
    for end in [0, 7] {
        let id = free.ids[end];
        let at = free.ids.iter().position(|&other| other == id).unwrap();
        let stopped =
            alone(&model, &policies, with(Sampling { stop_ids: vec![id], max_tokens: 30, ..Sampling::default() }));
        assert_eq!(stopped.finish, FinishReason::StopId(id));
        assert_eq!(stopped.ids, free.ids[..=at]);
        assert_eq!(stopped.logprobs, free.logprobs[..=at]);
    }
}

#[test]
fn a_stop_string_ends_the_answer_with_the_token_that_completes_it() {
    let (model, policies) = setup();
    let free = alone(&model, &policies, request(0, prompt(12, 3), 4, 30));
    let text: String = free.ids.iter().map(|&id| char::from(Letters.bytes(id)[0])).collect();
    let stop = text[9..12].to_owned();
    let end = text.find(&stop).unwrap() + 3;
    let sampling = Sampling { stop: vec!["!".to_owned(), stop], max_tokens: 30, ..Sampling::default() };
    let stopped = alone(&model, &policies, with(sampling));
    assert_eq!((stopped.finish, &stopped.ids[..]), (FinishReason::StopString(1), &free.ids[..end]));
}

#[test]
fn greedy_takes_the_peak_with_certainty() {
    let (model, policies) = setup();
    let answer = alone(&model, &policies, with(Sampling { temperature: 0.0, max_tokens: 9, ..Sampling::default() }));
    assert!(answer.logprobs.iter().all(|&logprob| logprob == 0.0));
    let ids: Vec<i64> = prompt(12, 3).iter().map(|&id| i64::from(id)).collect();
    let positions = Tensor::arange(12, (Kind::Int64, Device::Cpu));
    let rows = crate::model::Rows { ids: &Tensor::from_slice(&ids), positions: &positions };
    let hidden = model.hidden(rows, &mut crate::model::CausalAttend, None).unwrap();
    let peak = model.logits(&hidden, None).get(11).argmax(None, false).int64_value(&[]);
    assert_eq!(i64::from(answer.ids[0]), peak);
}

#[test]
fn suppressed_ids_never_appear_and_penalties_spread_the_answer() {
    let (model, policies) = setup();
    let greedy = Sampling { temperature: 0.0, max_tokens: 24, ..Sampling::default() };
    let free = alone(&model, &policies, with(greedy.clone()));
    let banned = alone(&model, &policies, with(Sampling { suppressed: vec![free.ids[0]], ..greedy.clone() }));
    assert!(!banned.ids.contains(&free.ids[0]));
    let distinct = |answer: &GenerateResponse| answer.ids.iter().collect::<std::collections::BTreeSet<_>>().len();
    let spread = alone(&model, &policies, with(Sampling { presence_penalty: 100.0, ..greedy.clone() }));
    assert_eq!(distinct(&spread), 24, "no id can beat a penalty of 100");
    // Every id of the prompt counts for the repetition penalty, and none for the presence penalty.
    let everything: Vec<u32> = (0..319).collect();
    let make = |sampling| GenerateRequest { sampling, ..request(0, everything.clone(), 4, 0) };
    let repeated =
        alone(&model, &policies, make(Sampling { repetition_penalty: 100.0, max_tokens: 1, ..greedy.clone() }));
    let fresh = alone(&model, &policies, make(Sampling { presence_penalty: 100.0, max_tokens: 1, ..greedy.clone() }));
    let plain = alone(&model, &policies, make(Sampling { max_tokens: 1, ..greedy }));
    assert_eq!(fresh.ids, plain.ids);
    assert_eq!(repeated.ids.len(), 1);
}

#[test]
fn no_tokens_can_be_asked_for_and_the_context_is_an_end() {
    let (_, _) = setup();
    let model = model("random:llama,context=48", Placement::EXACT);
    let policies = Table::new(&model);
    let none = alone(&model, &policies, request(0, prompt(20, 0), 1, 0));
    assert_eq!((none.ids.len(), none.finish), (0, FinishReason::MaxTokens));
    let full = alone(&model, &policies, request(0, prompt(40, 0), 1, 100));
    assert_eq!((full.ids.len(), full.finish), (8, FinishReason::ContextFull));
}

#[test]
fn what_cannot_be_answered_is_refused_with_its_reason() {
    let (model, policies) = setup();
    let per_block = kv::store::bytes_per_block(model.config(), model.placement().kind);
    let small = GeneratorOptions { cache_bytes: 4 * per_block, max_waiting: 1, ..options() };
    let mut generator = generator(&model, small);
    let mut submit = |request| generator.submit(RequestId(1), request, &policies).unwrap_err();
    assert_eq!(submit(request(0, [], 1, 4)), GenerateError::EmptyPrompt);
    assert_eq!(submit(request(50, [1], 1, 4)), GenerateError::UnknownPolicy(PolicyId(50)));
    assert_eq!(submit(request(0, [320], 1, 4)), GenerateError::TokenOutOfRange { id: 320, vocabulary: 320 });
    assert_eq!(submit(request(0, prompt(2048, 0), 1, 4)), GenerateError::PromptTooLong { tokens: 2048, limit: 2048 });
    assert_eq!(submit(request(0, prompt(60, 0), 1, 40)), GenerateError::CacheTooSmall { needed: 7, budget: 4 });
    let bad = with(Sampling { top_p: 2.0, ..Sampling::default() });
    assert!(matches!(submit(bad), GenerateError::InvalidSampling { parameter: "top_p", .. }));
    generator.submit(RequestId(2), request(0, [1], 1, 4), &policies).unwrap();
    let busy = generator.submit(RequestId(3), request(0, [1], 1, 4), &policies);
    assert_eq!(busy, Err(GenerateError::Busy { capacity: 1 }));
}
