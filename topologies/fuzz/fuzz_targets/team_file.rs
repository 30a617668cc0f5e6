//! Any text may be handed to the checker: it must answer, not panic, hang or overflow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use marft_topologies::check::check;

fuzz_target!(|text: &str| {
    let report = check(text, "fuzz.toml");
    let shown = report.report().render(false, 80);
    assert!(report.is_ok() == shown.is_empty());
});
