//! What the engine itself costs: steps of a trainer against the same sequences straight through the device.
//!
//! The work: a step of a duo, rolled out and learnt by GRPO. Against it, in turn: the very prompts, as many tokens sampled, each
//! agent's turn after the one it depends on, all episodes at once; and the very sequences in passes of the same size with a
//! clipped loss, and an update of every policy. What is left between the two is episodes, prompts, rewards, advantages and
//! records. Every step leaves weights behind under which nothing is cached, so neither side finds the other's prefixes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam::channel::bounded;
use marft_agents::generate::{GenerateEvent, GenerateRequest, PolicyId, RequestId, Sampling};
use marft_agents::train::{LossFn, PassOptions, TrainSequence, micro_batches};
use serde::Serialize;
use tch::{Kind, Tensor};

use super::{Trainer, TrainerError};
use crate::episode::{EpisodeRecord, SpanKind};
use crate::seed::Seed;
use crate::settings::Registry;
use crate::settings::file::load;

/// The work of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchOptions {
    /// A `random:` shape.
    pub model: String,
    /// Tasks a step.
    pub tasks: usize,
    /// Episodes of each task.
    pub group: usize,
    /// Most tokens of a turn.
    pub new_tokens: usize,
    /// Tokens of one training pass.
    pub batch_tokens: usize,
    /// Steps that are timed, each followed by its work without the engine.
    pub repeats: usize,
}

/// One step and its work without the engine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Episodes.
    pub episodes: usize,
    /// Tokens sampled.
    pub sampled: usize,
    /// Tokens of the sequences that were learnt.
    pub learnt: usize,
    /// Rolling out, seconds.
    pub rollout_s: f64,
    /// The same requests to the device, seconds.
    pub generate_s: f64,
    /// Learning, seconds.
    pub learning_s: f64,
    /// The same sequences to the device, seconds.
    pub train_s: f64,
    /// Rolling out and learning, over the requests and sequences alone.
    pub ratio: f64,
}

/// Times steps in a folder that is gone afterwards.
///
/// # Errors
/// The trainer or the device refuses.
pub fn run(options: &BenchOptions) -> Result<Vec<Measured>, TrainerError> {
    let folder = tempfile::tempdir()?;
    let mut trainer = trainer(options, folder.path())?;
    // the first step grows buffers, and is not timed
    step(&mut trainer, options)?;
    (0..options.repeats.max(1)).map(|_| step(&mut trainer, options)).collect()
}

fn trainer(options: &BenchOptions, folder: &Path) -> Result<Trainer, TrainerError> {
    let BenchOptions { model, tasks, group, new_tokens, batch_tokens, .. } = options;
    let agent = |name: &str, sees: &str| {
        format!(
            "[agents.{name}]\nrole = \"You are one of two who answer questions. Be brief.\"\nsees = [{sees}]\n\
             sampling = {{ max_tokens = {new_tokens} }}\n\n"
        )
    };
    let team =
        format!("[team]\nname = \"duo\"\n\n{}{}", agent("first", "\"task\""), agent("second", "\"task\", \"first\""));
    let run = format!(
        "deterministic = false\n[model]\nbase = \"{model}\"\n[task]\nfiles = \"tasks.jsonl\"\n\
         [[reward]]\nkind = \"contains\"\n[algorithm]\npreset = \"grpo\"\ngroup_size = {group}\nlearning_rate = 1e-5\n\
         [rollout]\ntasks = {tasks}\nconcurrency = {}\n[train]\nsteps = 1000000\nbatch_tokens = {batch_tokens}\n",
        tasks * group
    );
    let rows: Vec<String> = (0..tasks * 64)
        .map(|row| {
            format!("{{\"id\": \"{row}\", \"question\": \"What is {row} times {}?\", \"answer\": \"7\"}}", row % 97)
        })
        .collect();
    for (name, text) in [("team.toml", team), ("run.toml", run), ("tasks.jsonl", rows.join("\n"))] {
        fs_err::write(folder.join(name), text)?;
    }
    let loaded = load(&folder.join("run.toml"), &[]).map_err(|report| TrainerError::Setting(report.to_string()))?;
    Trainer::new(loaded, Registry::default())
}

fn step(trainer: &mut Trainer, options: &BenchOptions) -> Result<Measured, TrainerError> {
    let Some(report) = trainer.step()? else {
        return Err(TrainerError::Setting("the plan of the bench is at its end".to_owned()));
    };
    let policies: BTreeMap<&str, PolicyId> =
        trainer.roster().players().iter().map(|player| (player.label.as_str(), player.policy)).collect();
    let generate = generate(trainer, &report.records, &policies)?;
    let (learnt, train) = train(trainer, &report.records, &policies, options.batch_tokens)?;
    let (rollout_s, learning_s) = (report.rollout.as_secs_f64(), report.learning.as_secs_f64());
    let (generate_s, train_s) = (generate.as_secs_f64(), train.as_secs_f64());
    Ok(Measured {
        episodes: report.records.len(),
        sampled: report.records.iter().map(EpisodeRecord::sampled).sum(),
        learnt,
        rollout_s,
        generate_s,
        learning_s,
        train_s,
        ratio: (rollout_s + learning_s) / (generate_s + train_s),
    })
}

/// The episodes' requests, one after the other within an episode.
fn generate(
    trainer: &Trainer,
    records: &[EpisodeRecord],
    policies: &BTreeMap<&str, PolicyId>,
) -> Result<Duration, TrainerError> {
    let handle = trainer.roster().handle();
    // the next one is the last
    let mut requests: Vec<Vec<GenerateRequest>> =
        records.iter().map(|record| requests(record, policies).into_iter().rev().collect()).collect();
    let (replies, events) = bounded(records.len());
    let mut under_way: BTreeMap<RequestId, usize> = BTreeMap::new();
    let start = Instant::now();
    let mut ask = |episode: usize, under_way: &mut BTreeMap<RequestId, usize>| -> Result<(), TrainerError> {
        if let Some(request) = requests[episode].pop() {
            let ticket = handle.submit(request, &replies).map_err(|error| TrainerError::Setting(error.to_string()))?;
            under_way.insert(ticket.id, episode);
        }
        Ok(())
    };
    for episode in 0..records.len() {
        ask(episode, &mut under_way)?;
    }
    while !under_way.is_empty() {
        let Ok((id, event)) = events.recv() else { break };
        if let GenerateEvent::Done(answer) = event {
            answer.map_err(|error| TrainerError::Setting(error.to_string()))?;
            if let Some(episode) = under_way.remove(&id) {
                ask(episode, &mut under_way)?;
            }
        }
    }
    Ok(start.elapsed())
}

/// What was asked in an episode, in order, each to be answered with as many tokens as it was.
fn requests(record: &EpisodeRecord, policies: &BTreeMap<&str, PolicyId>) -> Vec<GenerateRequest> {
    let mut asked = vec![];
    for segment in &record.segments {
        let Some(policy) = policies.get(segment.agent.as_str()).copied() else { continue };
        for (start, span) in segment.placed().filter(|(_, span)| matches!(span.kind, SpanKind::Sampled { .. })) {
            let sampling = Sampling { max_tokens: span.length, ..Sampling::default() };
            let (prompt, seed) = (segment.ids[..start].to_vec(), Seed::of_run(7).child("request", asked.len() as u64));
            let seed = seed.child("episode", u64::from(record.sample)).request();
            asked.push((span.turn, GenerateRequest { policy, prompt, sampling, seed, deadline: None, stream: false }));
        }
    }
    asked.sort_by_key(|(turn, _)| *turn);
    asked.into_iter().map(|(_, request)| request).collect()
}

/// The episodes' sequences in passes with a clipped loss, and an update of every policy. Also how many tokens they have.
fn train(
    trainer: &Trainer,
    records: &[EpisodeRecord],
    policies: &BTreeMap<&str, PolicyId>,
    batch_tokens: usize,
) -> Result<(usize, Duration), TrainerError> {
    let handle = trainer.roster().handle();
    let mut sequences: Vec<TrainSequence> = vec![];
    for segment in records.iter().flat_map(|record| &record.segments) {
        let Some(policy) = policies.get(segment.agent.as_str()).copied() else { continue };
        let sampled = segment.placed().filter(|(_, span)| matches!(span.kind, SpanKind::Sampled { .. }));
        let scored = sampled.flat_map(|(start, span)| start as u32..(start + span.length) as u32).collect();
        sequences.push(TrainSequence { policy, ids: segment.ids.clone(), scored, parents: None, critic: None });
    }
    sequences.sort_by_key(|sequence| sequence.policy);
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    let scored = sequences.iter().map(|sequence| sequence.scored.len()).sum::<usize>() as f64;
    let start = Instant::now();
    for batch in micro_batches(&lengths, batch_tokens) {
        let batch = batch.into_iter().map(|at| sequences[at].clone()).collect();
        let loss: LossFn = Box::new(move |outputs| Ok(clipped(&outputs.logprobs) / scored));
        handle.accumulate(batch, PassOptions { batch_tokens, ..PassOptions::default() }, loss)?;
    }
    for policy in policies.values() {
        handle.update(*policy)?;
    }
    Ok((lengths.iter().sum(), start.elapsed()))
}

/// Sum of PPO's clipped objective with advantages of either sign.
fn clipped(logprobs: &Tensor) -> Tensor {
    let advantages = Tensor::arange(logprobs.numel() as i64, (Kind::Float, logprobs.device())).sin();
    let ratio = (logprobs - logprobs.detach()).exp();
    let objective = (&ratio * &advantages).minimum(&(ratio.clamp(0.8, 1.2) * &advantages));
    -objective.sum(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_do_the_same_work() {
        let model = "random:llama".to_owned();
        let options = BenchOptions { model, tasks: 2, group: 2, new_tokens: 6, batch_tokens: 4096, repeats: 2 };
        let found = run(&options).unwrap();
        assert_eq!(found.len(), 2);
        for measured in found {
            assert_eq!(measured.episodes, 4);
            assert!(measured.sampled >= 8 && measured.learnt > measured.sampled, "{measured:?}");
            assert!(measured.ratio > 0.0 && measured.generate_s > 0.0 && measured.train_s > 0.0);
        }
    }
}
