//! Runs that go on: what they go on from, and what they are told on the way.

use super::*;

#[test]
fn a_steered_divergence_goes_on_where_it_stood() {
    let home = Home::new();
    for key in ["kl_reward_coef", "kl_loss_coef"] {
        let control = "{ type = \"adaptive\", target_kl = 0.01, horizon = 60 }";
        let coefficient = format!("algorithm.{key}");
        let set = |steps| {
            [("train.steps", steps), ("eval.every", "1"), (&*coefficient, "0.1"), ("algorithm.kl_ctrl", control)]
        };
        let (whole, parts) = (format!("{key}-whole"), format!("{key}-parts"));
        let (_, run) = home.run(&whole, &set("3"), false);
        home.run(&parts, &set("1"), false);
        home.run(&parts, &set("3"), true);
        let rows = std::fs::read_to_string(home.path(&whole).join("metrics.jsonl")).unwrap();
        let logged: Vec<f64> = rows
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kl_coef/first"].as_f64())
            .collect();
        // the first step has no divergence yet: the error is clipped at -0.2, and six of sixty episodes have been seen
        assert_eq!(logged.len(), 3);
        assert_eq!((logged[0], logged[1]), (0.1, 0.1 * (1.0 - 0.2 * 6.0 / 60.0)), "{key}");
        let now = run.trainer().state().learn.controllers[&0].coefficient();
        assert!(now != logged[1] && now > 0.0, "{now}");
        assert!(
            contents(&home.path(&whole).join("checkpoints/3")) == contents(&home.path(&parts).join("checkpoints/3"))
        );
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_said_so() {
    let home = Home::new();
    home.run("whole", &[], false);
    home.run("out", &[("train.steps", "3")], false);
    let torn = home.path("out/checkpoints/3/first/adapter_model.safetensors");
    let bytes = std::fs::read(&torn).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() / 2]).unwrap();
    let mut run = Run::open(home.trainer(&[]), &home.path("out"), true).unwrap();
    let mut told = vec![];
    let mut listen = |event: &Event<'_>| {
        if let Event::Resumed { step, rejected } = event {
            told.push((*step, rejected.clone()));
        }
    };
    run.drive(&mut listen, &Stop::default()).unwrap();
    assert_eq!(told[0].0, 2);
    assert!(told[0].1[0].contains("adapter_model.safetensors"), "{told:?}");
    let (mut whole, mut out) = (contents(&home.path("whole/checkpoints/4")), contents(&home.path("out/checkpoints/4")));
    // the shorter run evaluated at its end, which is remembered and changes no number
    assert!(whole.remove("state.json").is_some() && out.remove("state.json").is_some());
    assert!(whole == out, "weights differ");
}

#[test]
fn folders_are_not_overwritten_nor_continued_with_other_settings() {
    let home = Home::new();
    home.run("out", &[("train.steps", "1")], false);
    let again = Run::open(home.trainer(&[]), &home.path("out"), false);
    assert!(matches!(again, Err(TrainerError::Occupied(_))));
    let told = |set| Run::open(home.trainer(&[set]), &home.path("out"), true).unwrap_err().to_string();
    let other = told(("seed", "6"));
    assert!(other.contains("seed was 5 and is 6"), "{other}");
    // scores are compared with those of before
    let other = told(("eval.samples", "2"));
    assert!(other.contains("eval.samples was 1 and is 2"), "{other}");
    // sums of f32 products are cut by the threads that share them
    let now = tch::get_num_threads();
    let other = told(("model.threads", &(now + 1).to_string()));
    assert!(other.contains(&format!("model.threads was {now} and is {}", now + 1)), "{other}");
    Run::open(home.trainer(&[("model.threads", &now.to_string())]), &home.path("out"), true).unwrap();
}

#[test]
fn a_damaged_checkpoint_does_not_crowd_out_those_after_it() {
    let home = Home::new();
    home.run("out", &[("train.steps", "3")], false);
    std::fs::write(home.path("out/checkpoints/3/state.json"), "{}").unwrap();
    let set = [("train.steps", "4"), ("checkpoint.keep", "1"), ("checkpoint.every", "2"), ("eval.every", "0")];
    let (_, run) = home.run("out", &set, true);
    assert_eq!(run.trainer().state().step, 4);
    let mut left: Vec<String> = std::fs::read_dir(home.path("out/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort_unstable();
    // 2 was the best
    assert_eq!(left, ["2", "3.damaged", "4"]);
}

#[test]
fn a_checkpoint_under_another_name_is_not_gone_on_from() {
    let home = Home::new();
    home.run("out", &[("train.steps", "2")], false);
    let (two, seven) = (home.path("out/checkpoints/2"), home.path("out/checkpoints/7"));
    for (name, bytes) in contents(&two) {
        std::fs::create_dir_all(seven.join(&name).parent().unwrap()).unwrap();
        std::fs::write(seven.join(&name), bytes).unwrap();
    }
    std::fs::copy(two.join("manifest.json"), seven.join("manifest.json")).unwrap();
    let (_, run) = home.run("out", &[("train.steps", "3")], true);
    assert_eq!(run.trainer().state().step, 3);
    let rows = std::fs::read_to_string(home.path("out/metrics.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), 4, "the untrained team and every step once");
}

#[test]
fn a_manifest_without_what_a_run_needs_is_passed_over() {
    let home = Home::new();
    home.run("out", &[("train.steps", "3")], false);
    let path = home.path("out/checkpoints/3/manifest.json");
    std::fs::remove_file(home.path("out/checkpoints/3/state.json")).unwrap();
    std::fs::write(&path, r#"{"format": 1, "step": 3, "files": {}}"#).unwrap();
    let path = home.path("out/checkpoints/2/manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    manifest["files"].as_object_mut().unwrap().remove("second/adapter_model.safetensors").unwrap();
    std::fs::write(&path, manifest.to_string()).unwrap();
    let run = Run::open(home.trainer(&[]), &home.path("out"), true).unwrap();
    assert_eq!(run.trainer().state().step, 1);
}

#[test]
fn a_run_that_is_further_than_it_is_told_is_not_called_damaged() {
    let home = Home::new();
    home.run("out", &[], false);
    let refused = Run::open(home.trainer(&[("train.steps", "2")]), &home.path("out"), true).unwrap_err();
    let told = refused.to_string();
    assert!(told.contains("is at step 4, and the settings end it after step 2; hint: "), "{told}");
    assert!(home.path("out/checkpoints/4/state.json").is_file());
}

#[test]
fn a_checkpoint_of_a_newer_program_is_left_alone() {
    let home = Home::new();
    home.run("out", &[("train.steps", "2")], false);
    let path = home.path("out/checkpoints/2/manifest.json");
    let newer = std::fs::read_to_string(&path).unwrap().replacen("\"format\": 1", "\"format\": 9", 1);
    std::fs::write(&path, newer).unwrap();
    let refused = Run::open(home.trainer(&[]), &home.path("out"), true).unwrap_err();
    assert!(refused.to_string().contains("has format 9"), "{refused}");
    assert!(path.is_file(), "nothing was renamed");
}

#[test]
fn stages_that_are_over_keep_their_length() {
    let home = Home::new();
    home.write("run.toml", &RUN.replace("[train]\nsteps = 4\n", ""));
    let stages = |first: u32, second: u32| {
        format!("[{{ kind = \"rl\", steps = {first} }}, {{ kind = \"rft\", steps = {second}, samples = 2 }}]")
    };
    home.run("out", &[("stages", &stages(1, 1))], false);
    let refused = Run::open(home.trainer(&[("stages", &stages(2, 2))]), &home.path("out"), true).unwrap_err();
    assert!(refused.to_string().contains("stages.0.steps was 1 and is 2"), "{refused}");
    let (end, run) = home.run("out", &[("stages", &stages(1, 2))], true);
    assert_eq!((end, run.trainer().state().step), (End::Complete, 3));
}

#[test]
fn the_untrained_team_is_evaluated_once_and_never_later() {
    let home = Home::new();
    let steps = |run: &str| -> Vec<u64> {
        let rows = std::fs::read_to_string(home.path(run).join("metrics.jsonl")).unwrap();
        rows.lines()
            .map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()["step"].as_u64().unwrap())
            .collect()
    };
    home.run("late", &[("eval.before", "false"), ("train.steps", "1")], false);
    let (_, run) = home.run("late", &[("train.steps", "2")], true);
    assert_eq!((steps("late"), run.trainer().state().untrained.is_none()), (vec![1, 2], true));

    home.run("early", &[("train.steps", "1")], false);
    // as after a kill before the first checkpoint
    std::fs::remove_dir_all(home.path("early/checkpoints")).unwrap();
    let mut run = Run::open(home.trainer(&[("train.steps", "1")]), &home.path("early"), true).unwrap();
    let mut resumed = None;
    let mut listen = |event: &Event<'_>| {
        if let Event::Resumed { step, .. } = event {
            resumed = Some(*step);
        }
    };
    run.drive(&mut listen, &Stop::default()).unwrap();
    assert_eq!((steps("early"), resumed), (vec![0, 1], Some(0)));
}

#[test]
fn checkpoints_without_what_the_run_was_told_are_not_overwritten() {
    let home = Home::new();
    home.run("out", &[("train.steps", "1")], false);
    std::fs::remove_file(home.path("out/run.json")).unwrap();
    for resume in [false, true] {
        let refused = Run::open(home.trainer(&[]), &home.path("out"), resume).unwrap_err().to_string();
        assert!(refused.contains("run.json"), "{refused}");
    }
    assert!(home.path("out/checkpoints/1/state.json").is_file());
}

#[test]
fn a_stage_in_progress_is_named_again() {
    let home = Home::new();
    home.run("out", &[("train.steps", "2")], false);
    let mut run = Run::open(home.trainer(&[]), &home.path("out"), true).unwrap();
    let mut stages = vec![];
    let mut listen = |event: &Event<'_>| {
        if let Event::Stage { name, first, steps } = event {
            stages.push((*name, *first, *steps));
        }
    };
    run.drive(&mut listen, &Stop::default()).unwrap();
    assert_eq!(stages, [("rl", 1, 4)]);
}

/// Rows of the search tool and adapters that the team starts from decide numbers as much as tasks do.
#[test]
fn a_run_whose_files_have_changed_is_not_the_same_run() {
    let home = Home::new();
    home.run("start", &[("train.steps", "1"), ("eval.every", "0")], false);
    let adapter = home.path("start/checkpoints/1/first");
    let policy = format!("[policies.first]\nadapter = {adapter:?}\n");
    home.write("team.toml", &(TEAM.replacen("sampling", "tools = [\"search\"]\nsampling", 1) + &policy));
    home.write("facts.jsonl", "{\"text\": \"one\"}\n");
    home.write(
        "run.toml",
        &format!("{RUN}\n[[tools]]\nkind = \"search\"\nfile = \"facts.jsonl\"\ncolumn = \"text\"\n"),
    );
    home.run("out", &[("train.steps", "1")], false);
    let refusal = || Run::open(home.trainer(&[]), &home.path("out"), true).unwrap_err().to_string();
    home.write("facts.jsonl", "{\"text\": \"two\"}\n");
    assert!(refusal().contains("facts.jsonl has changed"), "{}", refusal());
    home.write("facts.jsonl", "{\"text\": \"one\"}\n");
    let weights = adapter.join("adapter_model.safetensors");
    let other = std::fs::read(home.path("start/checkpoints/1/second/adapter_model.safetensors")).unwrap();
    std::fs::write(&weights, other).unwrap();
    assert!(refusal().contains("adapter_model.safetensors has changed"), "{}", refusal());
}

#[test]
fn a_base_in_a_folder_is_known_by_all_that_it_is() {
    let home = Home::new();
    let mut settings = home.trainer(&[]).settings().clone();
    std::fs::create_dir(home.path("model")).unwrap();
    for name in ["model/model.safetensors", "model/config.json", "model/README.md"] {
        home.write(name, name);
    }
    settings.model.base = home.path("model").display().to_string();
    let bundle = Bundle::of(&settings, []).unwrap();
    home.write("model/README.md", "another");
    assert_eq!(bundle.changed(), [""; 0]);
    home.write("model/model.safetensors", "another");
    assert_eq!(bundle.changed().len(), 1);
    let differences = Bundle::of(&settings, []).unwrap().differences(&bundle);
    assert!(differences.len() == 1 && differences[0].ends_with("model.safetensors has changed"), "{differences:?}");
}
