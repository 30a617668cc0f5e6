//! What is computed, and what is not computed twice.

use super::*;

fn rows(generator: &Generator) -> usize {
    generator.stats().passes.iter().map(|(shape, &count)| shape.rows * count as usize).sum()
}

#[test]
fn samples_of_one_prompt_read_it_once() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let mut generator = generator(&model, options());
    let requests = (0..8).map(|i| request(2, prompt(70, 0), i, 5)).collect();
    let answers = run(&mut generator, &model, &policies, requests);
    // The prompt, then four passes of eight rows: the first tokens come from the prompt's last row.
    assert_eq!(rows(&generator), 70 + 4 * 8);
    let stats = generator.stats();
    assert_eq!((stats.prefilled, stats.cached, stats.generated), (70, 7 * 70, 40));
    let cached: Vec<_> = answers.iter().map(|answer| answer.as_ref().unwrap().cached_prompt_tokens).collect();
    assert_eq!(cached, [0, 70, 70, 70, 70, 70, 70, 70]);
}

#[test]
fn a_shared_beginning_is_read_once_even_by_requests_that_arrive_together() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let mut generator = generator(&model, options());
    let requests = (0..4).map(|i| request(0, [prompt(64, 0), prompt(5, i + 1)].concat(), 0, 2)).collect();
    run(&mut generator, &model, &policies, requests);
    assert_eq!(generator.stats().prefilled, 64 + 4 * 5);
}

#[test]
fn policies_and_versions_share_no_prefix() {
    let model = model("random:llama", Placement::EXACT);
    let mut policies = Table::new(&model);
    let mut generator = generator(&model, options());
    run(&mut generator, &model, &policies, vec![request(0, prompt(40, 0), 0, 1), request(1, prompt(40, 0), 0, 1)]);
    assert_eq!(generator.stats().prefilled, 80);
    policies.version = 1;
    generator.forget(PolicyId(0));
    let answer = run(&mut generator, &model, &policies, vec![request(0, prompt(40, 0), 0, 1)]).remove(0).unwrap();
    assert_eq!((answer.cached_prompt_tokens, answer.policy_version), (0, 1));
}

#[test]
fn a_long_prompt_does_not_stall_decoding() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let mut generator = generator(&model, GeneratorOptions { pass_rows: 32, ..options() });
    let quick = GenerateRequest { stream: true, ..request(0, prompt(4, 0), 0, 10) };
    generator.submit(RequestId(0), quick, &policies).unwrap();
    generator.step(&model, &policies);
    generator.submit(RequestId(1), request(0, prompt(600, 1), 0, 1), &policies).unwrap();
    let tokens: usize = (0..9)
        .map(|_| {
            let events = generator.step(&model, &policies);
            events.iter().filter(|event| matches!(event.1, GenerateEvent::Token(_))).count()
        })
        .sum();
    assert_eq!(tokens, 9, "one token a pass while the long prompt is read in chunks");
    assert!(!generator.is_idle());
    let largest = generator.stats().passes.keys().map(|shape| shape.rows).max();
    assert!(largest <= Some(32), "{largest:?}");
    finish(&mut generator, &model, &policies);
}

#[test]
fn every_block_comes_back() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let mut generator = generator(&model, options());
    let capacity = generator.cache.capacity();
    let requests = (0..20).map(|i| request(i % 5, prompt(10 + 3 * i as usize, i % 2), u64::from(i), 9)).collect();
    run(&mut generator, &model, &policies, requests);
    for policy in 0..5 {
        generator.forget(PolicyId(policy));
    }
    assert_eq!(generator.cache.free(), capacity);
}

#[test]
fn the_gathered_cache_of_other_devices_gives_the_same_answers() {
    let model = model("random:gemma3", Placement::EXACT);
    let policies = Table::new(&model);
    let requests = || (0..6).map(|i| request(i % 5, prompt(20 + i as usize, i % 2), u64::from(i), 12)).collect();
    let paged = run(&mut generator(&model, options()), &model, &policies, requests());
    let mut gathered = generator(&model, options());
    gathered.cache.store = kv::KvStore::gathered(&model, gathered.cache.capacity()).unwrap();
    let gathered = run(&mut gathered, &model, &policies, requests());
    for (a, b) in paged.iter().zip(&gathered) {
        let (a, b) = (a.as_ref().unwrap(), b.as_ref().unwrap());
        assert_eq!(a.ids, b.ids);
        assert!(a.logprobs.iter().zip(&b.logprobs).all(|(x, y)| (x - y).abs() < 1e-4));
    }
}
