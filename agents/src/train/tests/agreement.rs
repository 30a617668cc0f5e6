//! A packed pass says of every token what a plain pass over its sequence alone says.

use marft_torch::GradMode;
use tch::{Kind, Tensor};

use super::{decoder, largest_gap, placed, sequence, spec, table};
use crate::generate::PolicyId;
use crate::lora::{Run, SegmentAdapters};
use crate::model::{CausalAttend, Decoder, Placement, RowAdapters, Rows};
use crate::train::{PassOptions, PolicySpec, PolicyTable, TrainSequence};

/// Log-probabilities and entropies of every token after the first, by logits of the whole vocabulary.
fn plain(decoder: &Decoder, table: &PolicyTable, sequence: &TrainSequence) -> (Vec<f32>, Vec<f32>) {
    let _off = GradMode::off();
    let ids: Vec<i64> = sequence.ids.iter().map(|&id| i64::from(id)).collect();
    let count = ids.len() as i64;
    let ids = Tensor::from_slice(&ids);
    let positions = Tensor::arange(count, (Kind::Int64, tch::Device::Cpu));
    let adapter = table.policy(sequence.policy).unwrap().adapter();
    let adapters = SegmentAdapters::new(vec![Run { rows: 0..count as usize, adapter }], false);
    let adapters: Option<&dyn RowAdapters> = Some(&adapters);
    let hidden = decoder.hidden(Rows { ids: &ids, positions: &positions }, &mut CausalAttend, adapters).unwrap();
    let log_p = decoder.logits(&hidden, adapters).log_softmax(-1, Kind::Float).narrow(0, 0, count - 1);
    let taken = log_p.gather(1, &ids.narrow(0, 1, count - 1).unsqueeze(1), false).squeeze_dim(1);
    let entropy = -(log_p.exp() * &log_p).sum_dim_intlist(-1, false, Kind::Float);
    (Vec::try_from(taken).unwrap(), Vec::try_from(entropy).unwrap())
}

#[test]
fn a_pack_of_many_policies_scores_as_each_sequence_alone() {
    for family in ["llama", "qwen2", "qwen3", "gemma3"] {
        let mut decoder = decoder(family);
        let mut table = table(&mut decoder, 3);
        let pack: Vec<_> =
            [(2, 12), (0, 5), (3, 20), (2, 2), (1, 9)].map(|(policy, length)| sequence(policy, length, length)).into();
        let scores = table.score(&decoder, &pack, PassOptions::default()).unwrap();
        for (sequence, score) in pack.iter().zip(&scores) {
            let (logprobs, entropies) = plain(&decoder, &table, sequence);
            assert!(largest_gap(&score.logprobs, &logprobs) < 2e-5, "{family}");
            assert!(largest_gap(&score.entropies, &entropies) < 2e-5, "{family}");
        }
        let split = table.score(&decoder, &pack, PassOptions { batch_tokens: 8, ..PassOptions::default() }).unwrap();
        for (one, other) in scores.iter().zip(&split) {
            assert!(largest_gap(&one.logprobs, &other.logprobs) < 2e-5, "{family}: cut into smaller passes");
        }
    }
}

#[test]
fn only_the_scored_tokens_come_back_in_the_order_of_the_call() {
    let mut decoder = decoder("llama");
    let mut table = table(&mut decoder, 1);
    let whole = sequence(1, 4, 12);
    let some = TrainSequence { scored: vec![3, 7], ..whole.clone() };
    let none = TrainSequence { scored: Vec::new(), ..whole.clone() };
    let scores = table.score(&decoder, &[some, none, whole, sequence(0, 1, 3)], PassOptions::default()).unwrap();
    let lengths: Vec<_> = scores.iter().map(|score| score.logprobs.len()).collect();
    assert_eq!(lengths, [2, 0, 11, 2]);
    let picked = [scores[2].logprobs[2], scores[2].logprobs[6]];
    assert!(largest_gap(&scores[0].logprobs, &picked) < 1e-5);
}

#[test]
fn a_fresh_adapter_is_its_base_bit_for_bit() {
    for placement in [Placement::EXACT, Placement::FAST] {
        let mut decoder = placed("qwen3", placement);
        let mut table = PolicyTable::default();
        table.add(PolicyId(0), &PolicySpec::Base, &mut decoder).unwrap();
        table.add(PolicyId(1), &spec(5, 1e-2), &mut decoder).unwrap();
        let scores = |table: &mut PolicyTable, policy| {
            table.score(&decoder, &[sequence(policy, 3, 30)], PassOptions::default()).unwrap()
        };
        assert_eq!(scores(&mut table, 0), scores(&mut table, 1));
    }
}

#[test]
fn bf16_stays_near_f32() {
    let (mut wide, mut narrow) = (decoder("llama"), placed("llama", Placement::FAST));
    let sequences = [sequence(1, 2, 40), sequence(2, 3, 40)];
    let mut wide_table = table(&mut wide, 2);
    let mut narrow_table = table(&mut narrow, 2);
    let exact = wide_table.score(&wide, &sequences, PassOptions::default()).unwrap();
    let fast = narrow_table.score(&narrow, &sequences, PassOptions::default()).unwrap();
    for (exact, fast) in exact.iter().zip(&fast) {
        assert!(largest_gap(&exact.logprobs, &fast.logprobs) < 0.1);
    }
}

#[test]
fn a_tree_scores_its_branches_as_if_they_stood_alone() {
    for family in ["llama", "gemma3"] {
        let mut decoder = decoder(family);
        let mut table = table(&mut decoder, 1);
        // A trunk of 12 tokens, then two branches of 9 from its end.
        let trunk = sequence(1, 5, 12).ids;
        let branches = [sequence(1, 8, 9).ids, sequence(1, 9, 9).ids];
        let mut ids = trunk.clone();
        let mut parents: Vec<Option<u32>> = (0..12_u32).map(|index| index.checked_sub(1)).collect();
        for branch in &branches {
            for (index, &id) in branch.iter().enumerate() {
                parents.push(Some(if index == 0 { 11 } else { ids.len() as u32 - 1 }));
                ids.push(id);
            }
        }
        let scored: Vec<u32> = (12..30).collect();
        let tree = TrainSequence { scored, parents: Some(parents), ids, ..sequence(1, 0, 1) };
        let alone = branches.map(|branch| {
            let ids = [trunk.clone(), branch].concat();
            TrainSequence::from_token(PolicyId(1), ids, 12)
        });
        let together = table.score(&decoder, &[tree], PassOptions::default()).unwrap();
        let apart = table.score(&decoder, &alone, PassOptions::default()).unwrap();
        let apart = [apart[0].logprobs.clone(), apart[1].logprobs.clone()].concat();
        assert!(largest_gap(&together[0].logprobs, &apart) < 2e-5, "{family}");
    }
}

#[test]
fn temperature_divides_the_logits() {
    let mut decoder = decoder("llama");
    let mut table = table(&mut decoder, 1);
    let hot = PassOptions { temperature: 1e6, ..PassOptions::default() };
    let scores = table.score(&decoder, &[sequence(1, 2, 6)], hot).unwrap();
    assert!(scores[0].logprobs.iter().all(|logprob| (logprob + 320_f32.ln()).abs() < 1e-3));
}

#[test]
fn an_unknown_policy_is_an_error_and_never_the_base() {
    let mut decoder = decoder("llama");
    let mut table = table(&mut decoder, 1);
    let error = table.score(&decoder, &[sequence(9, 2, 6)], PassOptions::default()).unwrap_err();
    assert!(error.to_string().contains("policy 9"), "{error}");
}
