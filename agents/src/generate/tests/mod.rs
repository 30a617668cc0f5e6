//! Whole generators on tiny random models.

#[cfg(feature = "constrained")]
mod constrained;
mod faults;
mod invariance;
mod rules;
mod scheduling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use marft_torch::{Factors, add_segments};
use tch::{Device, Kind, Tensor};

use super::*;
use crate::model::{Decoder, Placement, RowAdapters, Site, random};

/// The text of id `i` is the letter number `i` modulo 26.
#[derive(Debug)]
struct Letters;

impl TokenBytes for Letters {
    fn bytes(&self, id: u32) -> &[u8] {
        &b"abcdefghijklmnopqrstuvwxyz"[id as usize % 26..][..1]
    }
}

fn model(name: &str, placement: Placement) -> Decoder {
    let (config, seed) = random::parse(name).unwrap();
    Decoder::load(&config, &random::RandomSource::new(&config, seed), placement).unwrap()
}

fn options() -> GeneratorOptions {
    GeneratorOptions { cache_bytes: 16 << 20, max_running: 256, pass_rows: 128, max_waiting: 1000 }
}

fn generator(model: &Decoder, options: GeneratorOptions) -> Generator {
    Generator::new(model, Arc::new(Letters), options).unwrap()
}

/// A low-rank adapter on every site, in the compute type.
struct Lora {
    sites: BTreeMap<(usize, Site), (Tensor, Tensor, i64)>,
}

const RANK: i64 = 4;

impl Lora {
    fn new(model: &Decoder, seed: i64) -> Self {
        let (config, kind) = (model.config(), model.placement().kind);
        tch::manual_seed(seed);
        let mut sites = BTreeMap::new();
        for layer in 0..config.layers {
            for site in [Site::Qkv, Site::Output, Site::GateUp, Site::Down] {
                let widths: Vec<_> = site.projections().iter().map(|projection| projection.widths(config)).collect();
                let (input, output) = (widths[0].0 as i64, widths.iter().map(|w| w.1 as i64).sum());
                let [down, up] = [[RANK, input], [RANK, output]]
                    .map(|shape| (Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.3).to_kind(kind));
                sites.insert((layer, site), (down, up, output));
            }
        }
        Self { sites }
    }
}

/// Policies 0 and 1 are the base, the others have an adapter; 99 panics whenever it is asked to run.
struct Table {
    adapters: BTreeMap<PolicyId, Lora>,
    version: u64,
}

impl Table {
    fn new(model: &Decoder) -> Self {
        let adapters = (2..5).map(|i| (PolicyId(i), Lora::new(model, i64::from(i)))).collect();
        Self { adapters, version: 0 }
    }
}

struct Mixed<'a> {
    segments: Vec<(std::ops::Range<usize>, &'a Lora)>,
}

impl Policies for Table {
    fn version(&self, policy: PolicyId) -> Option<u64> {
        (policy.0 < 2 || policy.0 == 99 || self.adapters.contains_key(&policy)).then_some(self.version)
    }

    fn adapters<'a>(&'a self, segments: &[Segment]) -> Option<Box<dyn RowAdapters + 'a>> {
        assert!(segments.iter().all(|segment| segment.policy.0 != 99), "policy 99 is broken");
        let segments: Vec<_> = segments
            .iter()
            .filter_map(|segment| Some((segment.rows.clone(), self.adapters.get(&segment.policy)?)))
            .collect();
        if segments.is_empty() { None } else { Some(Box::new(Mixed { segments })) }
    }
}

impl RowAdapters for Mixed<'_> {
    fn add(&self, layer: usize, site: Site, x: &Tensor, mut out: Tensor) -> Tensor {
        if site == Site::Head {
            return out;
        }
        let parts: Vec<_> = self.segments.iter().map(|(rows, lora)| (rows, &lora.sites[&(layer, site)])).collect();
        let blocks: Vec<[i64; 2]> = parts.iter().map(|(_, part)| [0, part.2]).collect();
        let factors: Vec<_> = parts
            .iter()
            .zip(&blocks)
            .map(|((rows, (down, up, _)), block)| Factors {
                start: rows.start,
                length: rows.len(),
                down,
                up,
                rank: RANK as usize,
                blocks: std::slice::from_ref(block),
            })
            .collect();
        add_segments(&mut out, x, &factors).unwrap();
        out
    }
}

fn request(policy: u32, prompt: impl IntoIterator<Item = u32>, seed: u64, max_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        policy: PolicyId(policy),
        prompt: prompt.into_iter().collect(),
        sampling: Sampling { max_tokens, ..Sampling::default() },
        seed: SeedKey { seed: 5, request: seed },
        deadline: None,
        stream: false,
    }
}

/// `length` ids below 300 that depend on `salt`.
fn prompt(length: usize, salt: u32) -> Vec<u32> {
    (0..length as u32).map(|i| (i * 7919 + salt * 104_729 + i * i * 13) % 300).collect()
}

type Answer = Result<GenerateResponse, GenerateError>;

/// Runs until nothing is left; answers by id. Streamed tokens must be those of the answer.
fn finish(generator: &mut Generator, model: &Decoder, policies: &Table) -> BTreeMap<RequestId, Answer> {
    let (mut answers, mut streamed) = (BTreeMap::new(), BTreeMap::<RequestId, Vec<u32>>::new());
    let start = Instant::now();
    loop {
        for (id, event) in generator.step(model, policies) {
            match event {
                GenerateEvent::Token(token) => streamed.entry(id).or_default().push(token.id),
                GenerateEvent::Done(answer) => assert!(answers.insert(id, answer).is_none(), "{id:?} ended twice"),
            }
        }
        assert!(start.elapsed().as_secs() < 120, "the batch does not come to an end");
        if generator.is_idle() {
            break;
        }
    }
    for (id, tokens) in streamed {
        if let Some(Ok(answer)) = answers.get(&id) {
            assert_eq!(answer.ids, tokens);
        }
    }
    answers
}

/// Submits `requests` as ids 0, 1, … and runs them to the end.
fn run(generator: &mut Generator, model: &Decoder, policies: &Table, requests: Vec<GenerateRequest>) -> Vec<Answer> {
    let mut refused = BTreeMap::new();
    for (id, request) in requests.into_iter().enumerate() {
        let id = RequestId(id as u64);
        if let Err(error) = generator.submit(id, request, policies) {
            refused.insert(id, Err(error));
        }
    }
    refused.append(&mut finish(generator, model, policies));
    refused.into_values().collect()
}

/// One request in an empty generator.
fn alone(model: &Decoder, policies: &Table, request: GenerateRequest) -> GenerateResponse {
    run(&mut generator(model, options()), model, policies, vec![request]).remove(0).unwrap()
}

/// What must repeat bit for bit.
fn bits(answer: &GenerateResponse) -> (Vec<u32>, Vec<u32>, Vec<u32>, Vec<u32>, FinishReason) {
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
    (answer.ids.clone(), bits(&answer.logprobs), bits(&answer.logprobs_t1), bits(&answer.entropies), answer.finish)
}
