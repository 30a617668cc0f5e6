//! Training through the command line: what comes out, killed runs that go on, and wrong input.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::home::{Home, RUN, contents};
use crate::program::marft;

/// Training in the folder, as one types it there.
fn train(home: &Home, out: &str, more: &[&str]) -> std::process::Command {
    let mut command = marft(["train", "run.toml", "--out", out]);
    // what is killed here computes in the narrower type, and takes longer
    command.args(["--set", "model.dtype=bf16", "--set", "train.steps=6"]).args(more).env("OMP_NUM_THREADS", "1");
    command.current_dir(home.path(""));
    command
}

#[test]
fn a_killed_run_goes_on_bit_for_bit() {
    let home = Home::new();
    let whole = train(&home, "whole", &[]).output().unwrap();
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));

    let mut killed = train(&home, "killed", &[]).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| home.path("killed/checkpoints/2").is_dir());
    killed.kill().unwrap();
    killed.wait().unwrap();
    let resumed = train(&home, "killed", &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{}", String::from_utf8_lossy(&resumed.stderr));
    let held_out = |told: &[u8]| {
        let told = String::from_utf8_lossy(told).into_owned();
        told.lines().find(|line| line.starts_with("held out:")).map(str::to_owned)
    };
    assert_eq!(held_out(&resumed.stdout), held_out(&whole.stdout), "of the whole run, not of what was left of it");
    assert!(held_out(&whole.stdout).is_some());

    let (whole, killed) = (contents(&home.path("whole/checkpoints/6")), contents(&home.path("killed/checkpoints/6")));
    assert!(whole.len() >= 6, "{:?}", whole.keys());
    for (name, bytes) in &whole {
        assert!(killed.get(name) == Some(bytes), "{name} differs");
    }
}

#[test]
fn a_server_that_is_not_there_is_told_of_and_costs_nothing_else() {
    let home = Home::new();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("serve.first={{ server = \"vllm\", url = \"http://{nobody}/v1\", seconds = 0.2 }}");
    let run = train(&home, "out", &["--set", "train.steps=2", "--set", &server]).output().unwrap();
    let told = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    for step in [1, 2] {
        let warning = format!("warning: step {step}: the adapter of `first` was not pushed to http://{nobody}/v1: ");
        assert!(told.contains(&warning), "{told}");
        assert!(home.path("out/checkpoints").join(step.to_string()).join("manifest.json").is_file());
    }
}

#[test]
fn a_run_can_be_evaluated_reported_and_replayed() {
    let home = Home::new();
    assert!(train(&home, "out", &["--set", "train.steps=2"]).status().unwrap().success());
    // from another folder than the one in which it was begun
    let out = home.path("out").display().to_string();

    let found = marft(["eval", out.as_str(), "--format", "json"]).output().unwrap();
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((found["step"].as_u64(), found["score"]["observations"].as_u64()), (Some(2), Some(4)));

    let refused = marft(["eval", out.as_str(), "--set", "eval.samples=2"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is the folder of a run"), "nothing is ignored");

    let curve = home.path("curve.svg");
    let told = marft(["report", out.as_str(), "--svg"]).arg(&curve).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("held out") && told.contains("before"), "{told}");
    assert!(std::fs::read_to_string(curve).unwrap().starts_with("<svg"));

    let episodes = marft_engine::episode::read(&home.path("out/episodes/000002.jsonl.zst")).unwrap();
    let again = marft(["replay", out.as_str(), "--episode", episodes[0].id.as_str()]).output().unwrap();
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(again.contains("the same, token for token"), "{again}");

    // what is damaged is neither evaluated nor gone on from, and said so
    let weights = home.path("out/checkpoints/2/first/adapter_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(weights, bytes).unwrap();
    let found = marft(["eval", out.as_str()]).output().unwrap();
    assert!(String::from_utf8_lossy(&found.stderr).contains("passed over a damaged checkpoint"));
    assert!(String::from_utf8_lossy(&found.stdout).contains("held out after step 1"));
    let found = marft(["eval", out.as_str(), "--step", "2"]).output().unwrap();
    assert!(!found.status.success() && String::from_utf8_lossy(&found.stderr).contains("SHA-256"));

    home.write("tasks.jsonl", &(std::fs::read_to_string(home.path("tasks.jsonl")).unwrap() + "\n"));
    let found = marft(["eval", out.as_str(), "--step", "1"]).output().unwrap();
    assert!(String::from_utf8_lossy(&found.stderr).contains("tasks.jsonl has changed"));
}

#[test]
fn a_dry_run_says_what_it_would_do_and_writes_nothing() {
    let home = Home::new();
    let told = train(&home, "out", &["--dry-run"]).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    let stage =
        "stage rl: 6 steps from step 1; first, second learn; 6 episodes a step, in all at most 36 with 72 calls";
    for part in
        [stage, "agent second learns as second", "key-value cache", "at most 2 calls", "4 evaluations of 4 episodes"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!home.path("out").exists());
}

#[test]
fn a_dry_run_says_who_is_frozen_and_what_has_no_end() {
    let home = Home::new();
    home.write("run.toml", &RUN.replace("[model.critic]\nhidden = [8]\n", ""));
    let stages = "stages=[{ kind = \"rl\", frozen = \"first\" }, { kind = \"rft\", samples = 2 }]";
    let sets = [stages, "algorithm.preset=dapo", "algorithm.credit=difference", "algorithm.chain=agent"];
    let more: Vec<&str> = ["--dry-run"].into_iter().chain(sets.iter().flat_map(|set| ["--set", set])).collect();
    let told = train(&home, "out", &more).output().unwrap();
    let text = String::from_utf8(told.stdout).unwrap();
    for part in [
        "stage rl: 6 steps from step 1; second learn, first frozen",
        "with 5760 calls and 34560 tokens, and replays of them for credit",
        "stage rft: 6 steps from step 7; first, second learn; 12 episodes a step",
    ] {
        assert!(text.contains(part), "{part}: {text}{}", String::from_utf8_lossy(&told.stderr));
    }
}

#[test]
fn memory_is_planned_before_anything_is_loaded() {
    let home = Home::new();
    let told = train(&home, "out", &["--set", "train.steps=1", "--set", "model.cache_mib=64"]).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.success() && text.contains("memory: the run takes at most"), "{text}");
    let lines = text.lines().filter(|line| line.contains("memory:") && line.contains("available"));
    assert_eq!(lines.count(), usize::from(cfg!(target_os = "linux")), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_does_not_fit_is_refused_with_what_helps() {
    let home = Home::new();
    let large = ["--set", "model.cache_mib=1000000000"];
    let mut eval = marft(["eval", "run.toml"]);
    eval.args(large).current_dir(home.path(""));
    for mut command in [train(&home, "out", &large), eval] {
        let told = command.output().unwrap();
        let text = String::from_utf8(told.stderr).unwrap();
        assert_eq!(told.status.code(), Some(1), "{text}");
        assert!(text.contains("of memory and the device has") && text.contains("hint: "), "{text}");
        assert!(text.contains("`cache_mib`") && !text.contains("panicked"), "{text}");
    }
    assert!(!home.path("out").exists());
}

/// Sends what Ctrl-C sends.
#[cfg(unix)]
fn interrupt(process: &std::process::Child) {
    send("-INT", process);
}

#[cfg(unix)]
fn send(signal: &str, process: &std::process::Child) {
    let sent = std::process::Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until `there` holds.
fn wait_for(there: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !there() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[cfg(unix)]
fn signals_that_ask_to_end_save_and_exit_with_their_own_codes() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let home = Home::new();
        let more = ["--set", "train.steps=100000", "--set", "checkpoint.every=100000", "--set", "eval.every=0"];
        let run = train(&home, "out", &more).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        wait_for(|| std::fs::read_to_string(home.path("out/metrics.jsonl")).is_ok_and(|rows| rows.lines().count() > 2));
        send(signal, &run);
        let ended = run.wait_with_output().unwrap();
        let text = String::from_utf8(ended.stdout).unwrap();
        assert_eq!(ended.status.code(), Some(code), "{signal}: {text}");
        let rows = std::fs::read_to_string(home.path("out/metrics.jsonl")).unwrap();
        let step = rows.lines().count() - 1;
        assert!(text.contains(&format!("interrupted after step {step} of 100000")), "{text}");
        assert!(home.path(&format!("out/checkpoints/{step}/first/adapter_model.safetensors")).is_file());
    }
}

#[test]
#[cfg(unix)]
fn a_second_interrupt_ends_the_program_in_the_middle_of_its_work() {
    let home = Home::new();
    let more = ["--set", "rollout.tasks=20000", "--set", "eval.before=false"];
    let mut run = train(&home, "out", &more).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
    lines.by_ref().find(|line| line.starts_with("stage rl")).unwrap();
    interrupt(&run);
    lines.by_ref().find(|line| line.contains("Ctrl-C again")).unwrap();
    interrupt(&run);
    assert_eq!(run.wait().unwrap().code(), Some(130));
}

#[test]
fn all_problems_of_a_run_file_come_at_once() {
    let home = Home::new();
    let wrong = RUN.replace("steps = 4", "stepz = 4").replace("tasks = 6", "tasks = \"six\"");
    home.write("run.toml", &wrong);
    let told = train(&home, "out", &[]).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert!(
        text.contains("unknown key `stepz`") && text.contains("did you mean `steps`") && text.contains("2 problems"),
        "{text}"
    );
}

#[test]
fn an_occupied_folder_is_refused_with_a_hint() {
    let home = Home::new();
    assert!(train(&home, "out", &["--set", "train.steps=1"]).status().unwrap().success());
    let told = train(&home, "out", &[]).output().unwrap();
    let text = String::from_utf8(told.stderr).unwrap();
    assert!(text.contains("holds a run already") && text.contains("--resume"), "{text}");
}
