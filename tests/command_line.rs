//! What holds for every command: the help, wrong usage, a reader who leaves, a full disk.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::program::{Run, marft};

#[test]
fn the_help_documents_the_exit_codes() {
    let run = Run::of(&mut marft(["--help"]));
    assert_eq!((run.code(), run.stderr()), (Some(0), ""));
    let codes = run.stdout().split_once("Exit codes:\n").expect("the help ends with the exit codes").1;
    assert_eq!(
        codes,
        "  0  the command did what it was asked\n  \
           1  it failed, or it found problems in what it was asked to check\n  \
           2  the command line was wrong\n  130  it was interrupted, and saved what it had\n"
    );
}

#[test]
fn an_unknown_command_is_wrong_usage() {
    insta::assert_snapshot!(Run::of(&mut marft(["xyzzy"])), @r"
    exit code: 2
    ----- stdout -----
    ----- stderr -----
    error: unrecognized subcommand 'xyzzy'

    Usage: marft [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn no_command_at_all_shows_the_help() {
    let run = Run::of(&mut marft([]));
    assert_eq!((run.code(), run.stdout()), (Some(2), ""));
    assert!(run.stderr().contains("Usage: marft"), "{run}");
}

#[test]
fn env_names_the_versions_and_the_cache() {
    let run = Run::of(marft(["env"]).env("XDG_CACHE_HOME", "/somewhere"));
    assert_eq!(run.code(), Some(0), "{run}");
    for line in [
        concat!("marft          ", env!("CARGO_PKG_VERSION")),
        "libtorch       2.11.0",
        "cache          /somewhere/marft",
        "default model  none: run `cargo xtask setup`",
    ] {
        assert!(run.stdout().lines().any(|shown| shown == line), "{line}: {run}");
    }
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    // A pipe whose reading end is closed before the program starts.
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let pipe = reader.stdin.take().unwrap();
    reader.wait().unwrap();
    let run = Run::of(marft(["env"]).stdout(pipe));
    assert_eq!((run.code(), run.stderr()), (Some(0), ""));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    insta::assert_snapshot!(Run::of(marft(["env"]).stdout(full)), @r"
    exit code: 1
    ----- stdout -----
    ----- stderr -----
    error: could not write to stdout
      caused by: No space left on device (os error 28)
    ");
}

#[test]
fn no_colour_reaches_a_pipe() {
    for args in [&["--help"][..], &["nonsense"][..]] {
        let run = Run::of(marft([]).args(args));
        assert!(!run.stdout().contains('\x1b') && !run.stderr().contains('\x1b'), "{run}");
    }
}
