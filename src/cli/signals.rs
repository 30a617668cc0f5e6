//! Signals, heard on a thread of their own.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// What Ctrl-C sends.
pub(super) const INTERRUPT: i32 = SIGINT;

/// Calls `hear` with the number of each of `signals` that comes, for as long as the process lives.
pub(super) fn watch(signals: &[i32], hear: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new(signals)?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || signals.forever().for_each(hear))?;
    Ok(())
}

/// Signals that ask a program to end: Ctrl-C, what schedulers and containers send, and a terminal that closes. `nohup` lets
/// a program ignore the last, and it goes on ignoring it.
pub(super) fn that_end() -> Vec<i32> {
    let mut signals = vec![INTERRUPT, SIGTERM];
    signals.extend((!ignored(SIGHUP)).then_some(SIGHUP));
    signals
}

/// Whether the process was started with a signal ignored; `false` where the system does not say.
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored_by(&status, signal)
}

fn ignored_by(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let status = "Name:\tmarft\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(ignored_by(status, SIGHUP) && !ignored_by(status, SIGTERM));
        assert!(!ignored_by("", SIGHUP));
    }
}
