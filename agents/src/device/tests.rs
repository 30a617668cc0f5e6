//! A device thread on a tiny random model.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;

use super::*;
use crate::generate::{
    GenerateError, GenerateEvent, GenerateRequest, GeneratorOptions, Policies, PolicyId, Sampling, SeedKey, Segment,
    TokenBytes,
};
use crate::model::{Placement, RowAdapters, random};

#[derive(Debug)]
struct Silent;

impl TokenBytes for Silent {
    fn bytes(&self, _id: u32) -> &[u8] {
        &[]
    }
}

/// One policy, the base, with a version that can be set.
#[derive(Debug)]
struct Base {
    version: u64,
}

impl Policies for Base {
    fn version(&self, policy: PolicyId) -> Option<u64> {
        (policy.0 == 0).then_some(self.version)
    }

    fn adapters<'a>(&'a self, _segments: &[Segment]) -> Option<Box<dyn RowAdapters + 'a>> {
        None
    }
}

fn start(capacity: usize) -> DeviceThread<Base> {
    DeviceThread::spawn("test", capacity, || -> Result<_, DeviceError> {
        let (config, seed) = random::parse("random:llama").unwrap();
        let source = random::RandomSource::new(&config, seed);
        let decoder = Decoder::load(&config, &source, Placement::EXACT).unwrap();
        let options = GeneratorOptions { cache_bytes: 16 << 20, ..GeneratorOptions::default() };
        let generator = Generator::new(&decoder, Arc::new(Silent), options).unwrap();
        Ok(Device { decoder, policies: Base { version: 0 }, generator })
    })
    .unwrap()
}

fn request(seed: u64, max_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        policy: PolicyId(0),
        prompt: vec![1, 2, 3],
        sampling: Sampling { max_tokens, ..Sampling::default() },
        seed: SeedKey { seed, request: 0 },
        deadline: None,
        stream: false,
    }
}

#[test]
fn answers_stream_and_arrive() {
    let device = start(8);
    let generation = device.handle().generate(GenerateRequest { stream: true, ..request(1, 100) }).unwrap();
    let mut ids = Vec::new();
    let answer = loop {
        match generation.next_event() {
            GenerateEvent::Token(token) => ids.push(token.id),
            GenerateEvent::Done(answer) => break answer.unwrap(),
        }
    };
    assert_eq!((answer.ids.len(), &answer.ids), (100, &ids));
    let refused = device.handle().generate(GenerateRequest { policy: PolicyId(1), ..request(1, 1) }).unwrap().wait();
    assert_eq!(refused, Err(GenerateError::UnknownPolicy(PolicyId(1))));
}

#[test]
fn commands_take_effect_in_order() {
    let device = start(64);
    let handle = device.handle();
    let before: Vec<_> = (0..4).map(|i| handle.generate(request(i, 50)).unwrap()).collect();
    let update = handle
        .start(Alone::Policy(PolicyId(0)), |device| {
            assert!(device.generator.is_idle(), "an update met a running request");
            device.policies.version += 1;
            device.generator.forget(PolicyId(0));
        })
        .unwrap();
    let after = handle.generate(request(9, 5)).unwrap();
    for generation in before {
        assert_eq!(generation.wait().unwrap().policy_version, 0);
    }
    assert_eq!(update.recv().unwrap(), Ok(()));
    assert_eq!(after.wait().unwrap().policy_version, 1);
}

#[test]
fn a_panic_in_a_job_is_its_callers_and_nobody_elses() {
    let device = start(8);
    let handle = device.handle();
    let running = handle.generate(request(1, 60)).unwrap();
    let failed = handle.call(Alone::No, |_| -> u32 { panic!("the disk is on fire") });
    assert_eq!(failed, Err(DeviceError::Panicked("the disk is on fire".to_owned())));
    assert_eq!(running.wait().unwrap().ids.len(), 60);
    assert_eq!(handle.call(Alone::Entirely, |device| device.policies.version), Ok(0));
}

#[test]
fn a_dropped_generation_is_withdrawn() {
    let device = start(8);
    let handle = device.handle();
    drop(handle.generate(request(1, 2000)).unwrap());
    let cancelled = handle.generate(request(2, 2000)).unwrap();
    cancelled.ticket().cancel();
    assert_eq!(cancelled.wait(), Err(GenerateError::Cancelled));
    let generated = handle.call(Alone::Entirely, |device| device.generator.stats().generated).unwrap();
    assert!(generated < 2000, "{generated} tokens were sampled for nobody");
}

#[test]
fn a_full_queue_refuses_and_a_slow_listener_only_delays() {
    let device = start(2);
    let handle = device.handle();
    let (replies, events) = bounded(1);
    // The device is held up, so the queue fills.
    let (go, wait) = bounded::<()>(0);
    let held = handle.start(Alone::No, move |_| wait.recv()).unwrap();
    let mut accepted = 0;
    let busy = loop {
        match handle.try_submit(request(accepted, 3), &replies) {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
        assert!(accepted < 10);
    };
    assert_eq!(busy, GenerateError::Busy { capacity: 2 });
    drop(go);
    assert!(held.recv().unwrap().unwrap().is_err());
    while accepted < 12 {
        match handle.try_submit(request(accepted, 3), &replies) {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert_eq!(error, GenerateError::Busy { capacity: 2 });
                std::thread::yield_now();
            }
        }
    }
    // Nobody has listened so far; everything arrives once somebody does.
    std::thread::sleep(Duration::from_millis(20));
    let mut done = std::collections::BTreeSet::new();
    for (id, event) in events.iter().take(12) {
        assert!(matches!(event, GenerateEvent::Done(Ok(_))), "{event:?}");
        done.insert(id);
    }
    assert_eq!(done.len(), 12);
}

#[test]
fn shutting_down_ends_what_runs() {
    let device = start(8);
    let handle = device.handle();
    let running = handle.generate(request(1, 2000)).unwrap();
    let begun = Instant::now();
    drop(device);
    assert_eq!(running.wait(), Err(GenerateError::Shutdown));
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(matches!(handle.generate(request(1, 1)), Err(GenerateError::Shutdown)));
    assert_eq!(handle.call(Alone::No, |_| ()), Err(DeviceError::Shutdown));
}

#[test]
fn a_device_that_cannot_be_built_says_why() {
    let build = || -> Result<Device<Base>, DeviceError> { Err(DeviceError::Spawn("no weights".to_owned())) };
    assert_eq!(DeviceThread::spawn("test", 1, build).unwrap_err(), DeviceError::Spawn("no weights".to_owned()));
    let panics = || -> Result<Device<Base>, DeviceError> { panic!("no memory\nand a back trace") };
    let error = DeviceThread::spawn("test", 1, panics).unwrap_err();
    assert_eq!(error.to_string(), "the device could not be set up: no memory");
}

/// Ticks of a hundredth of a second that this thread has spent computing.
#[cfg(target_os = "linux")]
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_that_nobody_listens_to_sleeps() {
    let device = start(200);
    let handle = device.handle();
    let (replies, events) = bounded(1);
    let asked = |seed| GenerateRequest { stream: true, ..request(seed, 200) };
    let tickets: Vec<_> = (0..64).map(|seed| handle.submit(asked(seed), &replies).unwrap()).collect();
    let generated = || handle.call(Alone::No, |device| device.generator.stats().generated).unwrap();
    let mut before = 0;
    // it stops somewhere behind the events that may wait, in the middle of its work
    while before < 4096 || before != generated() {
        before = generated();
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(before < 64 * 200, "it did not stop");
    let spent = || handle.call(Alone::No, |_| ticks()).unwrap();
    let start = spent();
    std::thread::sleep(Duration::from_millis(500));
    let spent = spent() - start;
    assert!(spent < 30, "{spent} of 50 ticks");
    tickets.iter().for_each(Ticket::cancel);
    drop(events);
}
