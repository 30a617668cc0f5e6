//! The order in which tasks are drawn: a new seeded permutation every epoch, and a position that a checkpoint can hold.

use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// Walks through `0..length` again and again, each time in another order.
#[derive(Debug, Clone)]
pub struct DataOrder {
    seed: Seed,
    length: usize,
    state: OrderState,
    permutation: Vec<usize>,
}

/// Where a [`DataOrder`] stands; all a checkpoint needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrderState {
    /// Epochs completed.
    pub epoch: u64,
    /// Draws taken in this epoch.
    pub position: usize,
}

impl DataOrder {
    /// The order over `length` tasks, from `state` on.
    pub fn new(seed: Seed, length: usize, state: OrderState) -> Self {
        let permutation = seed.child("epoch", state.epoch).permutation(length);
        Self { seed, length, state, permutation }
    }

    /// Where it stands.
    pub const fn state(&self) -> OrderState {
        self.state
    }
}

impl Iterator for DataOrder {
    type Item = usize;

    /// The next task, for ever; `None` only where there are no tasks.
    fn next(&mut self) -> Option<usize> {
        if self.state.position >= self.length {
            if self.length == 0 {
                return None;
            }
            self.state = OrderState { epoch: self.state.epoch + 1, position: 0 };
            self.permutation = self.seed.child("epoch", self.state.epoch).permutation(self.length);
        }
        self.state.position += 1;
        self.permutation.get(self.state.position - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_once_an_epoch_and_resumable_anywhere() {
        let all: Vec<usize> = DataOrder::new(Seed::of_run(3), 7, OrderState::default()).take(30).collect();
        for epoch in all.chunks_exact(7) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, [0, 1, 2, 3, 4, 5, 6]);
        }
        for stop in 0..30 {
            let mut order = DataOrder::new(Seed::of_run(3), 7, OrderState::default());
            let mut resumed: Vec<usize> = order.by_ref().take(stop).collect();
            resumed.extend(DataOrder::new(Seed::of_run(3), 7, order.state()).take(30 - stop));
            assert_eq!(resumed, all, "stopped after {stop}");
        }
    }

    #[test]
    fn nothing_to_draw() {
        assert_eq!(DataOrder::new(Seed::of_run(3), 0, OrderState::default()).next(), None);
    }
}
