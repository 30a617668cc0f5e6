//! Update: passes over mini-batches, and an optimiser step for every policy and critic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use marft_agents::critic::CriticId;
use marft_agents::device::DeviceHandle;
use marft_agents::generate::PolicyId;
use marft_agents::train::{PassOptions, PolicyTable, TrainSequence};
use marft_algorithms::loss::Totals;
use marft_algorithms::order::factor::Factor;
use marft_algorithms::preset::{Algorithm, Compat};

use super::estimate::Estimated;
use super::gather::{Gathered, Spoken};
use super::loss::{Judgement, Part, PartReport, loss_of, parts};
use super::pack::{Lap, Laps, chunks};
use super::report::{Account, Gap};
use super::rescore::{by_turn, score};
use super::{Cohort, CriticReport, LearnError, LearnReport};

/// Learns from one cohort's batch.
pub(super) struct Update<'a> {
    pub(super) handle: &'a DeviceHandle<PolicyTable>,
    pub(super) cohort: &'a Cohort,
    pub(super) gathered: &'a Gathered,
    pub(super) estimated: &'a Estimated,
    pub(super) pass: PassOptions,
    pub(super) batch_tokens: usize,
    pub(super) laps: &'a Laps,
}

/// Sums over the whole batch.
#[derive(Default)]
struct Ledger {
    gap: Gap,
    policies: BTreeMap<PolicyId, Account>,
    critic: CriticReport,
    explained: f64,
    batches: u32,
    rows: usize,
    bad: u32,
}

impl Ledger {
    /// Notes that an update of these policies was dropped.
    fn drop_update(&mut self, learners: &[PolicyId]) {
        self.bad += 1;
        for own in learners {
            self.policies.entry(*own).or_default().dropped += 1;
        }
    }
}

impl Update<'_> {
    /// Runs all laps and adds what happened to `report` and `gap`.
    pub(super) fn run(&self, report: &mut LearnReport, gap: &mut Gap) -> Result<(), LearnError> {
        let mut ledger = Ledger { gap: *gap, ..Ledger::default() };
        if self.laps.corrected {
            self.one_after_another(&mut ledger)?;
        } else {
            for lap in &self.laps.laps {
                self.lap(lap, None, &mut ledger)?;
            }
        }
        self.tell(&ledger, report);
        *gap = ledger.gap;
        Ok(())
    }

    /// HAPPO's order: each policy learns with the ratios of those before it as weights.
    fn one_after_another(&self, ledger: &mut Ledger) -> Result<(), LearnError> {
        let (joint, count) = self.joint_actions();
        let mut factor = Factor::new(count);
        let mut laps = self.laps.laps.iter();
        while let Some(lap) = laps.next() {
            let weights = factor.weights();
            let by_turn: Vec<f32> = joint.iter().map(|row| weights[*row] as f32).collect();
            self.lap(lap, Some(&by_turn), ledger)?;
            for policy in &lap.learners {
                let (new, old) = self.joint_logprobs(*policy, &joint, count)?;
                match factor.update(&new, &old).map_err(LearnError::from) {
                    // those that follow would be weighted by it
                    Err(error) if error.is_not_finite() => {
                        laps.by_ref().for_each(|lap| ledger.drop_update(&lap.learners));
                    }
                    updated => updated?,
                }
            }
        }
        Ok(())
    }

    /// The joint action, by episode and step, that each turn belongs to.
    fn joint_actions(&self) -> (Vec<usize>, usize) {
        let mut known: BTreeMap<(u32, u32), usize> = BTreeMap::new();
        let mut joint = Vec::with_capacity(self.gathered.turns.len());
        for turn in &self.gathered.turns {
            let next = known.len();
            joint.push(*known.entry((turn.ids.episode, turn.ids.step)).or_insert(next));
        }
        let count = known.len();
        (joint, count)
    }

    /// Log-probabilities of the joint actions under one policy after and before its update; 0 where it had no part.
    fn joint_logprobs(
        &self,
        policy: PolicyId,
        joint: &[usize],
        count: usize,
    ) -> Result<(Vec<f64>, Vec<f64>), LearnError> {
        let of_policy = |row: usize| {
            let sequence = &self.gathered.rows[row].sequence;
            (sequence.policy == policy).then(|| TrainSequence { critic: None, ..sequence.clone() })
        };
        let scores = score(self.handle, self.cohort, self.gathered, self.pass, of_policy)?;
        let now = by_turn(self.gathered, &scores, |score| Some(&score.logprobs));
        let (mut new, mut old) = (vec![0.0; count], vec![0.0; count]);
        let taught = |(at, turn): &(usize, &Spoken)| turn.in_loss && !now[*at].is_empty();
        for (at, _) in self.gathered.turns.iter().enumerate().filter(taught) {
            let divisor = f64::from(self.estimated.divisors[at]);
            new[joint[at]] += now[at].iter().map(|logp| f64::from(*logp)).sum::<f64>() / divisor;
            let before = &self.estimated.logp_old[self.estimated.elements[at].clone()];
            old[joint[at]] += before.iter().map(|logp| f64::from(*logp)).sum::<f64>();
        }
        Ok((new, old))
    }

    fn lap(&self, lap: &Lap, factor: Option<&[f32]>, ledger: &mut Ledger) -> Result<(), LearnError> {
        let algorithm = Arc::new(self.cohort.algorithm.clone());
        let step = MiniBatch { update: self, algorithm, learners: &lap.learners, factor };
        for rows in &lap.mini_batches {
            match step.run(rows, ledger) {
                Ok(()) => {}
                Err(error) if error.is_not_finite() => {
                    self.handle.discard_gradients()?;
                    ledger.drop_update(&lap.learners);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn tell(&self, ledger: &Ledger, report: &mut LearnReport) {
        let batches = ledger.batches;
        for (policy, account) in &ledger.policies {
            report.policies.insert(*policy, account.report(batches));
        }
        if let Some((CriticId(critic), _)) = self.cohort.critic {
            let over = f64::from(batches.max(1));
            report.critics.push(CriticReport {
                critic,
                loss: ledger.critic.loss / over,
                explained_variance: ledger.explained / over,
                grad_norm: ledger.critic.grad_norm / over,
                clip_fraction: ledger.critic.clip_fraction / over,
                updates: ledger.critic.updates,
            });
        }
        report.rows += ledger.rows;
        report.bad_updates += ledger.bad;
    }
}

/// One optimiser step.
struct MiniBatch<'a> {
    update: &'a Update<'a>,
    algorithm: Arc<Algorithm>,
    /// Who learns beside the critic.
    learners: &'a [PolicyId],
    factor: Option<&'a [f32]>,
}

impl MiniBatch<'_> {
    fn run(&self, rows: &[usize], ledger: &mut Ledger) -> Result<(), LearnError> {
        let Update { handle, cohort, gathered, estimated, pass, batch_tokens, .. } = *self.update;
        let mut cut: Vec<(Vec<usize>, Vec<Part>)> = chunks(cohort, gathered, rows.to_vec(), batch_tokens)
            .into_iter()
            .map(|rows| {
                let parts = parts(gathered, estimated, &rows, self.factor);
                (rows, parts)
            })
            .collect();
        normalise(&self.algorithm, &mut cut);
        let totals = totals(&cut);
        let all = sum(totals.values().copied());
        if all.tokens == 0 {
            return Ok(());
        }
        cut.iter_mut().flat_map(|(_, parts)| parts).for_each(|part| part.totals = totals[&part.policy]);
        let mut values = vec![(all, 1.0); cut.len()];
        if self.algorithm.compat == Compat::MarftV1 {
            values = by_chunk(&self.algorithm, &mut cut)?;
        }
        let (reports, told) = channel();
        for ((rows, parts), (value_totals, value_share)) in cut.into_iter().zip(values) {
            let sequences = rows.iter().map(|row| gathered.rows[*row].sequence.clone()).collect();
            let temperature = cohort.players[gathered.rows[rows[0]].player].temperature;
            let judgement = Judgement {
                algorithm: Arc::clone(&self.algorithm),
                parts,
                value_totals,
                value_share,
                learners: self.learners.to_vec(),
                reports: reports.clone(),
            };
            let done = handle.accumulate(sequences, PassOptions { temperature, ..pass }, loss_of(judgement))?;
            ledger.rows += done.rows;
        }
        drop(reports);
        self.step(&told.into_iter().collect::<Vec<_>>(), ledger)
    }

    /// Applies the gradients of one mini-batch.
    fn step(&self, told: &[PartReport], ledger: &mut Ledger) -> Result<(), LearnError> {
        let Update { handle, cohort, .. } = *self.update;
        let mut own: BTreeMap<PolicyId, Account> = BTreeMap::new();
        // before the first update, trainer and sampler hold the same weights
        let first = ledger.batches == 0;
        ledger.batches += 1;
        for part in told {
            own.entry(part.policy).or_default().note(part);
            ledger.policies.entry(part.policy).or_default().note(part);
            if first {
                ledger.gap.note(part);
            }
        }
        let mut gated = false;
        for policy in self.learners.iter().copied() {
            let (Some(account), Some(own)) = (ledger.policies.get_mut(&policy), own.get(&policy)) else { continue };
            let kl = own.diagnostics.approx_kl;
            if let Some(gate) = self.algorithm.kl_gate()
                && !gate.passes(kl)?
            {
                account.gated += 1;
                gated = true;
                continue;
            }
            let update = handle.update(policy)?;
            if update.applied {
                account.updated(update.grad_norm, update.lr);
            } else {
                ledger.drop_update(&[policy]);
            }
        }
        if let Some((critic, _)) = cohort.critic {
            let update = handle.update_critic(critic)?;
            ledger.bad += u32::from(!update.applied);
            ledger.critic.updates += u32::from(update.applied);
            ledger.critic.grad_norm += update.grad_norm;
            let values: Vec<_> = told.iter().filter_map(|part| part.value).collect();
            let elements: usize = values.iter().map(|(_, value)| value.elements).sum();
            let mean = |of: fn(&marft_algorithms::value::ValueDiagnostics) -> f64| {
                values.iter().map(|(_, value)| of(value) * value.elements as f64).sum::<f64>() / elements.max(1) as f64
            };
            ledger.critic.loss += values.iter().map(|(loss, _)| loss).sum::<f64>();
            ledger.critic.clip_fraction += mean(|value| value.clip_fraction);
            ledger.explained += mean(|value| value.explained_variance);
        }
        if gated || self.learners.is_empty() {
            handle.discard_gradients()?;
        }
        Ok(())
    }
}

/// Normalises the advantages of a mini-batch, where that is done by mini-batch.
fn normalise(algorithm: &Algorithm, cut: &mut [(Vec<usize>, Vec<Part>)]) {
    let together = cut.iter().flat_map(|(_, parts)| parts).flat_map(|part| part.advantage.iter().copied()).collect();
    let mut normalised = algorithm.in_mini_batch::<f32>(together).into_iter();
    for part in cut.iter_mut().flat_map(|(_, parts)| parts) {
        part.advantage = normalised.by_ref().take(part.advantage.len()).collect();
    }
}

/// Lets every part's mean be that of its own chunk, which counts for as much as the algorithm says; the same for the critic,
/// chunk by chunk.
fn by_chunk(algorithm: &Algorithm, cut: &mut [(Vec<usize>, Vec<Part>)]) -> Result<Vec<(Totals, f64)>, LearnError> {
    let weights = |counts: &[Totals]| -> Result<Vec<f64>, LearnError> {
        let (rows, tokens): (Vec<u64>, Vec<u64>) =
            counts.iter().map(|count| (count.sequences as u64, count.tokens as u64)).unzip();
        Ok(algorithm.chunk_weights(&rows, &tokens)?)
    };
    for policy in totals(cut).into_iter().filter(|(_, all)| all.tokens > 0).map(|(policy, _)| policy) {
        let mut own: Vec<&mut Part> =
            cut.iter_mut().flat_map(|(_, parts)| parts).filter(|part| part.policy == policy).collect();
        let counts: Vec<Totals> = own.iter().map(|part| part.count()).collect();
        let shares = weights(&counts)?;
        for ((part, count), share) in own.iter_mut().zip(counts).zip(shares).filter(|((_, count), _)| count.tokens > 0)
        {
            (part.totals, part.share) = (count, share);
        }
    }
    let counts: Vec<Totals> = cut.iter().map(|(_, parts)| sum(parts.iter().map(Part::count))).collect();
    let shares = weights(&counts)?;
    Ok(counts.into_iter().zip(shares).collect())
}

fn sum(totals: impl Iterator<Item = Totals>) -> Totals {
    totals.fold(Totals::default(), |sum, own| Totals {
        tokens: sum.tokens + own.tokens,
        sequences: sum.sequences + own.sequences,
    })
}

/// Elements of every policy in the mini-batch.
fn totals(cut: &[(Vec<usize>, Vec<Part>)]) -> BTreeMap<PolicyId, Totals> {
    let mut totals: BTreeMap<PolicyId, Totals> = BTreeMap::new();
    for part in cut.iter().flat_map(|(_, parts)| parts) {
        let (sum, own) = (totals.entry(part.policy).or_default(), part.count());
        *sum = Totals { tokens: sum.tokens + own.tokens, sequences: sum.sequences + own.sequences };
    }
    totals
}

#[cfg(test)]
mod tests {
    use marft_algorithms::trajectory::TurnIds;

    use super::super::gather::Row;
    use super::*;

    /// Two chunks of one turn each, of one token and of three.
    fn cut() -> Vec<(Vec<usize>, Vec<Part>)> {
        let row = |at: usize| Row {
            sequence: TrainSequence::from_token(PolicyId(0), vec![1; 5], 1),
            player: 0,
            turns: vec![at],
        };
        let turn = |(row, tokens): (usize, usize)| Spoken {
            ids: TurnIds { episode: row as u32, ..TurnIds::default() },
            row,
            logprobs: vec![-0.5; tokens],
            positions: (1..).take(tokens).collect(),
            in_loss: true,
            ..Spoken::default()
        };
        let gathered = Gathered {
            rows: vec![row(0), row(1)],
            turns: [1, 3].into_iter().enumerate().map(turn).collect(),
            ..Gathered::default()
        };
        let estimated = Estimated {
            elements: vec![0..1, 1..4],
            in_loss: vec![true; 4],
            logp_old: vec![-0.5; 4],
            advantage: vec![4.0, 0.0, 2.0, 0.0],
            ..Estimated::default()
        };
        (0..2).map(|row| (vec![row], parts(&gathered, &estimated, &[row], None))).collect()
    }

    #[test]
    fn the_first_release_weighs_chunks_by_rows_and_normalises_them_together() {
        let algorithm = Algorithm { compat: Compat::MarftV1, ..Algorithm::default() };
        let mut chunks = cut();
        normalise(&algorithm, &mut chunks);
        // without the zeros, 4 and 2 have mean 3 and deviation 1
        let advantages: Vec<f32> = chunks.iter().flat_map(|(_, parts)| parts[0].advantage.clone()).collect();
        assert!(
            advantages.iter().zip([1.0, -3.0, -1.0, -3.0]).all(|(a, want)| (a - want).abs() < 1e-6),
            "{advantages:?}"
        );
        let (one, three) = (Totals { tokens: 1, sequences: 1 }, Totals { tokens: 3, sequences: 1 });
        assert_eq!(by_chunk(&algorithm, &mut chunks).unwrap(), [(one, 0.5), (three, 0.5)]);
        let of = |at: usize| (chunks[at].1[0].totals, chunks[at].1[0].share);
        assert_eq!([of(0), of(1)], [(one, 0.5), (three, 0.5)]);

        let mut ours = cut();
        normalise(&Algorithm::default(), &mut ours);
        assert!(ours.iter().all(|(_, parts)| parts[0].share == 1.0), "means are taken over the mini-batch");
        assert_eq!(ours[1].1[0].advantage, [0.0, 2.0, 0.0]);
    }
}
