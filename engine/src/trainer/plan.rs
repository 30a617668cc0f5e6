//! The plan of a run: which step belongs to which stage.

use std::ops::Range;

use super::TrainerError;
use crate::settings::{RunSettings, Stage};
use crate::task::Demonstrations;

/// Steps of all stages, one after another, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    stages: Vec<(Stage, Range<u64>)>,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place<'a> {
    /// The stage.
    pub stage: &'a Stage,
    /// Its index.
    pub index: usize,
    /// Steps of the stage before this one.
    pub done: u64,
    /// Steps of the stage.
    pub steps: u64,
}

impl Place<'_> {
    /// Whether the stage begins with this step.
    pub const fn begins(&self) -> bool {
        self.done == 0
    }

    /// Whether the stage ends with this step.
    pub const fn ends(&self) -> bool {
        self.done + 1 == self.steps
    }
}

impl Plan {
    /// Lays the stages out. Demonstrations are counted, since they decide how many steps a supervised stage has.
    ///
    /// # Errors
    /// Demonstrations that cannot be read.
    pub fn new(settings: &RunSettings) -> Result<Self, TrainerError> {
        let mut stages = vec![];
        let mut next = 1;
        for stage in &settings.stages {
            let steps = match stage {
                Stage::Sft(sft) => sft.steps(Demonstrations::read(&sft.demonstrations)?.len()),
                Stage::Rl(rl) => rl.steps,
                Stage::Rft(rft) => rft.steps,
            };
            let end = u64::saturating_add(next, steps);
            stages.push((stage.clone(), next..end));
            next = end;
        }
        Ok(Self { stages })
    }

    /// Steps of all stages.
    pub fn steps(&self) -> u64 {
        self.stages.last().map_or(0, |(_, range)| range.end - 1)
    }

    /// The stages with their steps.
    pub fn stages(&self) -> &[(Stage, Range<u64>)] {
        &self.stages
    }

    /// The stages with a step after step `step`, by index.
    pub(super) fn stages_after(&self, step: u64) -> impl Iterator<Item = (usize, Stage)> {
        let open = self.stages.iter().enumerate().filter(move |(_, (_, range))| range.end > step + 1);
        open.map(|(index, (stage, _))| (index, stage.clone()))
    }

    /// Where `self` and `earlier` part before step `step` was done, in words; nothing where steps only come later or fall
    /// away later.
    pub(super) fn parts_before(&self, earlier: &Self, step: u64) -> Option<String> {
        let place = |plan: &Self| plan.at(step).map(|place| (place.index, place.done));
        if step == 0 || self.at(step).is_none() || place(self) == place(earlier) {
            return None;
        }
        let steps = |plan: &Self| plan.stages.iter().map(|(_, range)| range.end - range.start).collect::<Vec<_>>();
        let (before, now) = (steps(earlier), steps(self));
        let stage = before.iter().zip(&now).position(|(before, now)| before != now)?;
        Some(format!(
            "stages.{stage}.steps was {} and is {}, and the run is past that stage, after step {step}",
            before[stage], now[stage]
        ))
    }

    /// Where step `step` is, counted from 1; `None` beyond the end.
    pub fn at(&self, step: u64) -> Option<Place<'_>> {
        let index = self.stages.iter().position(|(_, range)| range.contains(&step))?;
        let (stage, range) = &self.stages[index];
        Some(Place { stage, index, done: step - range.start, steps: range.end - range.start })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Rl;

    #[test]
    fn steps_are_counted_over_all_stages() {
        let rl = |steps| Stage::Rl(Rl { steps, frozen: vec![] });
        let plan = Plan { stages: vec![(rl(3), 1..4), (rl(0), 4..4), (rl(2), 4..6)] };
        assert_eq!(plan.steps(), 5);
        let place = plan.at(4).unwrap();
        assert_eq!((place.index, place.done, place.begins(), place.ends()), (2, 0, true, false));
        assert!(plan.at(3).unwrap().ends() && plan.at(6).is_none());
    }

    #[test]
    fn what_is_behind_a_run_stays_as_it_was() {
        let rl = |steps| Stage::Rl(Rl { steps, frozen: vec![] });
        let plan = |first: u64, second: u64| Plan {
            stages: vec![(rl(first), 1..first + 1), (rl(second), first + 1..first + second + 1)],
        };
        let (earlier, longer) = (plan(3, 2), plan(5, 2));
        assert_eq!(longer.parts_before(&earlier, 3), None, "the stage goes on");
        assert!(longer.parts_before(&earlier, 4).unwrap().starts_with("stages.0.steps was 3 and is 5"));
        assert_eq!(plan(3, 9).parts_before(&earlier, 4), None);
        assert!(plan(2, 9).parts_before(&earlier, 3).is_some(), "the stage would have ended before");
    }
}
