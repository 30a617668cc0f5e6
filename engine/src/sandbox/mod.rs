//! A sandbox for programs that policies wrote: another process, in namespaces of its own.
//!
//! What runs in it sees `/usr` and its like, read-only, and an empty folder that is gone afterwards; no other file, no network,
//! no process but its own, nothing of the environment. It has no privileges, and limits of time, processor time, memory and
//! files. Linux only, by `unshare`, `prlimit` and `setpriv` of util-linux; where they are missing or a machine forbids user
//! namespaces, [`Sandbox::new`] says so: nothing ever runs without.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;

mod interpreter;

pub(crate) use interpreter::Interpreter;

/// What builds the inside.
const ENTER: &str = include_str!("enter.sh");
/// Most bytes of output that are kept.
const OUTPUT: u64 = 64 << 10;
/// What the script says last, before the program begins.
const READY: &str = "ready\n";
/// How often a running program is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// What a program may use.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Seconds on the clock.
    pub seconds: f64,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Size of its files, in MiB.
    pub files_mib: u64,
}

impl Default for Limits {
    /// Five seconds, 512 MiB of memory, 16 MiB of files.
    fn default() -> Self {
        Self { seconds: 5.0, memory_mib: 512, files_mib: 16 }
    }
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Whether it ended by itself, with success.
    pub success: bool,
    /// Whether it was stopped because its time was over.
    pub late: bool,
    /// What it wrote, standard output and errors together.
    pub output: String,
}

/// Nothing was run, and nothing is known of the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sandbox does not work: {0}")]
pub struct SandboxFault(pub String);

/// A place where programs can do no harm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sandbox {
    limits: Limits,
}

impl Sandbox {
    /// A sandbox, tried out.
    ///
    /// # Errors
    /// Limits that are none, and a machine on which processes cannot be isolated.
    pub fn new(limits: Limits) -> Result<Self, SandboxFault> {
        let Limits { seconds, memory_mib, files_mib } = limits;
        if !(seconds > 0.0 && seconds.is_finite()) || memory_mib == 0 || files_mib == 0 {
            return Err(SandboxFault("time, memory and files need limits above 0".to_owned()));
        }
        let sandbox = Self { limits };
        let ran = sandbox.run(&["true"], "")?;
        if ran.success { Ok(sandbox) } else { Err(SandboxFault(format!("`true` fails in it: {}", ran.output.trim()))) }
    }

    /// Runs a program to its end, with `input` on its standard input. Blocks.
    ///
    /// # Errors
    /// The sandbox cannot be built, or has no such program. Whatever the program does is no error.
    pub fn run(&self, program: &[&str], input: &str) -> Result<Ran, SandboxFault> {
        let broken = |error: std::io::Error| SandboxFault(error.to_string());
        let root = tempfile::tempdir().map_err(broken)?;
        let (mut reader, writer) = std::io::pipe().map_err(broken)?;
        let Limits { seconds, memory_mib, files_mib } = self.limits;
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--"])
            .args(["sh", "-c", ENTER, "sh"])
            .arg(root.path())
            .args([
                (seconds.ceil() as u64 + 1).to_string(),
                (memory_mib << 20).to_string(),
                (files_mib << 20).to_string(),
            ])
            .args(program)
            .stdin(Stdio::piped())
            .stdout(writer.try_clone().map_err(broken)?)
            .stderr(writer);
        let mut child = command.spawn().map_err(|error| SandboxFault(format!("unshare: {error}")))?;
        // the command holds ends of the pipe, which is read until all are closed
        drop(command);
        let input = (child.stdin.take(), input.to_owned());
        let writing = std::thread::spawn(move || {
            // a program need not read what it is given
            input.0.map(|mut stdin| stdin.write_all(input.1.as_bytes()).ok())
        });
        let reading = std::thread::spawn(move || {
            let mut kept = vec![];
            reader.by_ref().take(OUTPUT + READY.len() as u64).read_to_end(&mut kept).ok();
            // what is too much is read and forgotten, so that nobody waits for a full pipe
            std::io::copy(&mut reader, &mut std::io::sink()).ok();
            kept
        });
        let (status, late) = wait(&mut child, Duration::from_secs_f64(seconds)).map_err(broken)?;
        let kept = reading.join().unwrap_or_default();
        drop(writing.join());
        let output = String::from_utf8_lossy(&kept);
        match output.strip_prefix(READY) {
            Some(output) => Ok(Ran { success: status.success() && !late, late, output: output.to_owned() }),
            None => Err(SandboxFault(output.trim().to_owned())),
        }
    }
}

/// Waits for a child, at most so long; stops it then, and with it all that it began.
fn wait(child: &mut Child, limit: Duration) -> std::io::Result<(ExitStatus, bool)> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, false));
        }
        if start.elapsed() > limit {
            child.kill()?;
            return Ok((child.wait()?, true));
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox(seconds: f64) -> Option<Sandbox> {
        match Sandbox::new(Limits { seconds, ..Limits::default() }) {
            Ok(sandbox) => Some(sandbox),
            Err(fault) => {
                eprintln!("not tested here: {fault}");
                None
            }
        }
    }

    #[test]
    fn a_program_reads_its_input_and_is_believed_only_in_success() {
        let Some(sandbox) = sandbox(5.0) else { return };
        let ran = sandbox.run(&["cat"], "läk").unwrap();
        assert_eq!(ran, Ran { success: true, late: false, output: "läk".to_owned() });
        assert!(!sandbox.run(&["sh", "-c", "exit 3"], "").unwrap().success);
        let fault = sandbox.run(&["no-such-program"], "").unwrap_err();
        assert!(fault.to_string().contains("no-such-program"), "{fault}");
        let chatty = sandbox.run(&["sh", "-c", "yes | head -c 1000000"], "").unwrap();
        assert_eq!((chatty.success, chatty.output.len()), (true, OUTPUT as usize));
    }

    #[test]
    fn nothing_outside_is_seen_written_or_reached() {
        let Some(sandbox) = sandbox(5.0) else { return };
        let secret = tempfile::NamedTempFile::new().unwrap();
        let path = secret.path().display();
        let says = |script: &str| sandbox.run(&["sh", "-c", script], "").unwrap().output;
        assert_eq!(says("env | grep -c . ; ls /tmp | wc -l"), "5\n0\n", "PATH, HOME, LANG, PWD and what sh adds");
        assert!(says(&format!("cat {path}")).contains("No such file"));
        assert!(says("echo x > /usr/x").contains("Read-only"));
        assert!(says("mount -o remount,rw /usr 2>&1 || echo refused").contains("refused"));
        assert!(says("cat /sys/class/net/*/address 2>/dev/null; echo none").starts_with("none"));
        assert!(says("head -c 100000000 /dev/zero 2>&1 > big || echo small").contains("small"));
    }

    #[test]
    fn a_program_that_never_ends_is_stopped_with_all_it_began() {
        let Some(sandbox) = sandbox(0.5) else { return };
        let start = Instant::now();
        let ran = sandbox.run(&["sh", "-c", "sleep 600 & sleep 600"], "").unwrap();
        assert!(ran.late && !ran.success);
        assert!(start.elapsed() < Duration::from_mins(1));
    }
}
