//! Who joins the batch, and who leaves it again when blocks run out.

use super::generator::Generator;
use super::kv::Variant;
use super::kv::store::block_size;
use super::request::RequestId;
use super::sequence::Sequence;

impl Generator {
    /// Moves waiting requests into the batch, first come first served, as far as blocks and `max_running` allow.
    ///
    /// A request with the same prompt as one that is being read follows that one. A request whose next block is just being
    /// computed by another waits for it instead of computing it too; others may pass it.
    pub(super) fn admit(&mut self, max_running: usize) {
        if self.pressed && !self.running.is_empty() {
            return;
        }
        self.pressed = false;
        let mut places = max_running.saturating_sub(self.running.iter().map(|s| 1 + s.followers.len()).sum());
        let mut later = Vec::new();
        while places > 0 {
            let Some(mut sequence) = self.waiting.pop_front() else { break };
            if let Some(leader) = self.leader(&sequence) {
                sequence.group = self.running[leader].group;
                self.running[leader].followers.push(sequence);
                places -= 1;
                continue;
            }
            // The last token is always computed: its row is what the first token is drawn from.
            let readable = sequence.ids.len() - 1;
            let mut blocks = self.cache.known(sequence.variant, &sequence.ids[..readable]);
            let known = blocks.len() * block_size();
            if self.being_read(sequence.variant, &sequence.ids[..readable], known) {
                self.cache.release(&mut blocks);
                later.push(sequence);
                continue;
            }
            if !self.cache.grow(&mut blocks, sequence.ids.len()) {
                self.cache.release(&mut blocks);
                self.waiting.push_front(sequence);
                break;
            }
            sequence.blocks = blocks;
            if sequence.fresh() {
                self.stats.cached += known as u64;
            }
            sequence.admit(known);
            let key = (sequence.variant, sequence.group, sequence.id);
            let at = self.running.partition_point(|other| (other.variant, other.group, other.id) < key);
            self.running.insert(at, sequence);
            places -= 1;
        }
        for sequence in later.into_iter().rev() {
            self.waiting.push_front(sequence);
        }
    }

    /// The running sequence that is reading this very prompt.
    fn leader(&self, sequence: &Sequence) -> Option<usize> {
        let same = |other: &Sequence| other.fresh() && other.variant == sequence.variant && other.ids == sequence.ids;
        if sequence.fresh() { self.running.iter().position(same) } else { None }
    }

    /// Whether a running sequence is about to compute the block that comes after the first `known` positions of `ids`.
    fn being_read(&self, variant: Variant, ids: &[u32], known: usize) -> bool {
        let Some(wanted) = ids.get(..known + block_size()) else { return false };
        self.running
            .iter()
            .any(|other| other.variant == variant && other.computed < wanted.len() && other.ids.starts_with(wanted))
    }

    /// Makes sure that sequence `id` has blocks for `positions`, putting back the youngest of the others if need be. False if
    /// it had to be put back itself.
    pub(super) fn make_room(&mut self, id: RequestId, positions: usize) -> bool {
        loop {
            let Some(index) = self.running.iter().position(|sequence| sequence.id == id) else { return false };
            if self.cache.grow(&mut self.running[index].blocks, positions) {
                return true;
            }
            let youngest = self.running.iter().enumerate().max_by_key(|(_, sequence)| sequence.id);
            let victim = youngest.map_or(index, |(victim, _)| victim);
            let mut sequence = self.running.remove(victim);
            self.cache.release(&mut sequence.blocks);
            sequence.computed = 0;
            self.stats.preempted += 1;
            self.pressed = true;
            for follower in std::mem::take(&mut sequence.followers).into_iter().rev() {
                self.waiting.push_front(follower);
            }
            self.waiting.push_front(sequence);
            if victim == index {
                return false;
            }
        }
    }
}
