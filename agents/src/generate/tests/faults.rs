//! One request's fault is no other request's.

use std::time::Duration;

use super::*;

#[test]
fn a_request_that_breaks_its_pass_is_found_and_the_others_never_notice() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let good = |i: u32| request(i % 5, prompt(20, i), u64::from(i), 8);
    let want: Vec<_> = (0..9).map(|i| bits(&alone(&model, &policies, good(i)))).collect();
    let mut requests: Vec<_> = (0..9).map(good).collect();
    requests.insert(4, request(99, prompt(20, 50), 0, 8));
    requests.push(request(99, prompt(20, 50), 1, 8));
    let mut generator = generator(&model, options());
    let mut answers = run(&mut generator, &model, &policies, requests);
    for broken in [answers.pop().unwrap(), answers.remove(4)] {
        assert!(matches!(&broken, Err(GenerateError::Device(message)) if message.contains("policy 99")), "{broken:?}");
    }
    for (answer, want) in answers.iter().zip(&want) {
        assert_eq!(&bits(answer.as_ref().unwrap()), want);
    }
    assert!(generator.stats().failed_passes > 0 && generator.is_idle());
}

#[test]
fn weights_that_diverged_end_their_policy_only() {
    let model = model("random:llama", Placement::EXACT);
    let mut policies = Table::new(&model);
    for part in policies.adapters.get_mut(&PolicyId(3)).unwrap().sites.values_mut() {
        let _ = part.0.fill_(f64::NAN);
    }
    let requests = vec![request(2, prompt(20, 0), 0, 4), request(3, prompt(20, 0), 0, 4)];
    let answers = run(&mut generator(&model, options()), &model, &policies, requests);
    assert!(answers[0].is_ok());
    assert_eq!(answers[1], Err(GenerateError::NonFinite { policy: PolicyId(3), version: 0, position: 20 }));
}

#[test]
fn a_deadline_and_a_cancellation_end_one_request() {
    let model = model("random:llama", Placement::EXACT);
    let policies = Table::new(&model);
    let mut generator = generator(&model, options());
    // Three samples of one prompt: the one that reads it is cancelled while the others wait for it.
    let options = GeneratorOptions { pass_rows: 16, ..options() };
    let mut slow = Generator::new(&model, Arc::new(Letters), options).unwrap();
    for id in 0..3 {
        slow.submit(RequestId(id), request(0, prompt(60, 0), id, 5), &policies).unwrap();
    }
    assert!(slow.step(&model, &policies).is_empty());
    slow.cancel(RequestId(0));
    let answers = finish(&mut slow, &model, &policies);
    assert_eq!(answers[&RequestId(0)], Err(GenerateError::Cancelled));
    for id in 1..3 {
        let want = alone(&model, &policies, request(0, prompt(60, 0), id, 5));
        assert_eq!(bits(answers[&RequestId(id)].as_ref().unwrap()), bits(&want));
    }

    let past = Instant::now().checked_sub(Duration::from_millis(1));
    let late = GenerateRequest { deadline: past, ..request(0, prompt(5, 0), 0, 5) };
    let answers = run(&mut generator, &model, &policies, vec![late, request(0, prompt(5, 0), 0, 5)]);
    assert_eq!(answers[0], Err(GenerateError::Deadline { generated: 0 }));
    assert_eq!(answers[1].as_ref().unwrap().ids.len(), 5);
}
