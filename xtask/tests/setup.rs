//! The real program, killed in the middle of a set-up.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn setup(folder: &Path, mode: &str) -> Output {
    fs::write(folder.join("bin/mode"), mode).unwrap();
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("setup")
        .env("CARGO_MANIFEST_DIR", folder.join("checkout/xtask"))
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("PATH", folder.join("bin"))
        .env_remove("LIBTORCH")
        .output()
        .unwrap()
}

fn leftovers(cache: &Path) -> usize {
    let names = fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "tmp")).count()
}

#[test]
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn a_killed_setup_is_swept_by_the_next_and_an_error_is_one_line_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["bin", "checkout/xtask", "checkout/.cargo"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("checkout/Cargo.lock"), "").unwrap();
    let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-python3");
    std::os::unix::fs::symlink(fake, folder.path().join("bin/python3")).unwrap();
    let cache = folder.path().join("cache/marft");

    let killed = setup(folder.path(), "dies-halfway");
    assert_eq!(killed.status.code(), None, "{killed:?}");
    assert_eq!(leftovers(&cache), 1);
    assert!(!cache.join("libtorch-2.11.0-cpu").exists());

    let failed = setup(folder.path(), "no-pip");
    assert_eq!(failed.status.code(), Some(1));
    let stderr = String::from_utf8(failed.stderr).unwrap();
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{stderr}");
    assert!(lines[0].starts_with("Fetching torch==2.11.0"), "{stderr}");
    assert_eq!(lines[1], "error: python3 has no pip");
    assert!(lines[2].starts_with("hint: install Python"), "{stderr}");
    assert_eq!(leftovers(&cache), 0);
    assert!(failed.stdout.is_empty());
}
