//! A request's answer is the same bits whatever else happens on the device.

use super::*;

const MODELS: [&str; 2] = ["random:llama", "random:gemma3"];

/// The request that is watched: with an adapter or without.
fn watched(policy: u32) -> GenerateRequest {
    request(policy, prompt(37, 1), 77, 12)
}

#[test]
fn neighbours_change_nothing() {
    for name in MODELS {
        let model = model(name, Placement::EXACT);
        let policies = Table::new(&model);
        for policy in [0, 2] {
            let want = bits(&alone(&model, &policies, watched(policy)));
            for neighbours in [1, 7, 64] {
                for mixed in [false, true] {
                    let mut requests = vec![watched(policy)];
                    requests.extend((0..neighbours).map(|i| {
                        let of = if mixed { i % 5 } else { policy };
                        // Some share the prompt, some its beginning, some nothing; they end at different times.
                        let ids = match i % 3 {
                            0 => prompt(37, 1),
                            1 => [&prompt(37, 1)[..20], &prompt(9, i)[..]].concat(),
                            _ => prompt(3 + i as usize % 50, i),
                        };
                        request(of, ids, u64::from(i), 3 + i as usize % 14)
                    }));
                    // The watched one neither arrives first nor last.
                    let middle = requests.len() / 2;
                    requests.swap(0, middle);
                    let answers = run(&mut generator(&model, options()), &model, &policies, requests);
                    let got = bits(answers[middle].as_ref().unwrap());
                    assert_eq!(got, want, "{name} policy {policy} with {neighbours} neighbours, mixed {mixed}");
                }
            }
        }
    }
}

#[test]
fn a_warm_prefix_changes_nothing() {
    for name in MODELS {
        let model = model(name, Placement::EXACT);
        let policies = Table::new(&model);
        let mut warm = generator(&model, options());
        let first = run(&mut warm, &model, &policies, vec![watched(3)]).remove(0).unwrap();
        assert_eq!(first.cached_prompt_tokens, 0);
        let again = run(&mut warm, &model, &policies, vec![watched(3)]).remove(0).unwrap();
        assert_eq!(again.cached_prompt_tokens, 32);
        assert_eq!(bits(&again), bits(&first));

        // The agent's next turn: all of the last one and some more.
        let turn = [&prompt(37, 1)[..], &first.ids, &prompt(11, 9)].concat();
        let next = request(3, turn, 78, 8);
        let cold = alone(&model, &policies, next.clone());
        let got = run(&mut warm, &model, &policies, vec![next]).remove(0).unwrap();
        assert_eq!(got.cached_prompt_tokens, 48, "37 + 11 computed positions are three full blocks");
        assert_eq!(bits(&got), bits(&cold));
    }
}

#[test]
fn chunks_of_the_prompt_change_nothing() {
    for name in MODELS {
        let model = model(name, Placement::EXACT);
        let policies = Table::new(&model);
        let long = request(2, prompt(300, 4), 1, 6);
        let want = bits(&alone(&model, &policies, long.clone()));
        for pass_rows in [7, 64, 1000] {
            let options = GeneratorOptions { pass_rows, ..options() };
            let others = (0..3).map(|i| request(i, prompt(40, i), u64::from(i), 20));
            let requests = std::iter::once(long.clone()).chain(others).collect();
            let answers = run(&mut generator(&model, options), &model, &policies, requests);
            assert_eq!(bits(answers[0].as_ref().unwrap()), want, "{name} {pass_rows} rows a pass");
        }
    }
}

#[test]
fn being_put_back_changes_nothing() {
    let model = model(MODELS[0], Placement::EXACT);
    let policies = Table::new(&model);
    let requests: Vec<_> = (0..8).map(|i| request(i % 4, prompt(20, i), u64::from(i), 60)).collect();
    let want: Vec<_> = requests.iter().map(|r| bits(&alone(&model, &policies, r.clone()))).collect();
    // Room for three of the eight at their full length.
    let per_block = kv::store::bytes_per_block(model.config(), model.placement().kind);
    let mut tight = generator(&model, GeneratorOptions { cache_bytes: 15 * per_block, ..options() });
    let got = run(&mut tight, &model, &policies, requests);
    assert!(tight.stats().preempted > 0, "the cache was meant to be too small");
    for (got, want) in got.iter().zip(&want) {
        assert_eq!(&bits(got.as_ref().unwrap()), want);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let model = model(MODELS[0], Placement::EXACT);
    let policies = Table::new(&model);
    let requests = || (0..9).map(|i| request(i % 5, prompt(30 + i as usize, i % 3), u64::from(i), 10)).collect();
    let before = tch::get_num_threads();
    let [one, two] = [1, 2].map(|threads| {
        tch::set_num_threads(threads);
        run(&mut generator(&model, options()), &model, &policies, requests())
    });
    tch::set_num_threads(before);
    for (one, two) in one.iter().zip(&two) {
        assert_eq!(bits(one.as_ref().unwrap()), bits(two.as_ref().unwrap()));
    }
}

#[test]
fn the_seed_key_alone_decides_between_equal_requests() {
    let model = model(MODELS[0], Placement::EXACT);
    let policies = Table::new(&model);
    let requests = [1, 2, 1].map(|seed| request(0, prompt(20, 0), seed, 12)).to_vec();
    let answers = run(&mut generator(&model, options()), &model, &policies, requests);
    let [a, b, c] = [0, 1, 2].map(|i| bits(answers[i].as_ref().unwrap()));
    assert_eq!(a, c);
    assert_ne!(a, b);
}

/// The engine's numbers against a plain loop: the whole sequence through the model again for every token.
#[test]
fn log_probabilities_are_those_of_the_whole_sequence() {
    for name in MODELS {
        for (placement, tolerance) in [(Placement::EXACT, 1e-5), (Placement::FAST, 0.1)] {
            let model = model(name, placement);
            let policies = Table::new(&model);
            let answer = alone(&model, &policies, watched(0));
            let ids: Vec<i64> = prompt(37, 1).iter().chain(&answer.ids).map(|&id| i64::from(id)).collect();
            let positions = Tensor::arange(ids.len() as i64, (Kind::Int64, Device::Cpu));
            let rows = crate::model::Rows { ids: &Tensor::from_slice(&ids), positions: &positions };
            let hidden = model.hidden(rows, &mut crate::model::CausalAttend, None).unwrap();
            let logp = model.logits(&hidden, None).to_kind(Kind::Double).log_softmax(-1, None);
            for (i, &id) in answer.ids.iter().enumerate() {
                let row = logp.get(36 + i as i64);
                let want = row.double_value(&[i64::from(id)]);
                let entropy = -(row.exp() * &row).sum(None).double_value(&[]);
                let got =
                    (f64::from(answer.logprobs[i]), f64::from(answer.logprobs_t1[i]), f64::from(answer.entropies[i]));
                assert_eq!(got.0, got.1, "the default samples the model's own distribution");
                assert!((got.0 - want).abs() < tolerance, "{name} {placement:?} token {i}: {} {want}", got.0);
                assert!((got.2 - entropy).abs() < tolerance, "{name} {placement:?} token {i}: {} {entropy}", got.2);
            }
        }
    }
}
