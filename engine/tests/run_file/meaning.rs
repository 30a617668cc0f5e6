//! What right files mean.

use marft_engine::settings::{DeviceName, RunSettings, Stage};

use crate::folder::{Folder, GOOD};

#[test]
fn a_short_file_has_defaults_for_all_else() {
    let folder = Folder::new();
    let loaded = folder.good(GOOD, &[]);
    let settings = loaded.settings;
    assert_eq!(settings.name, folder.path().file_name().unwrap().to_str().unwrap());
    assert_eq!((settings.seed, settings.deterministic, settings.model.device), (0, true, DeviceName::Cpu));
    assert!(settings.task.sources[0].file.is_file(), "paths can be used as they are");
    assert_eq!(settings.algorithm.keys().collect::<Vec<_>>(), ["asker", "keeper"]);
    assert!(settings.algorithm["asker"].needs_critic());
    assert!(matches!(settings.stages[..], [Stage::Rl(ref rl)] if rl.steps == 100));
    assert_eq!(loaded.team.name(), "relay");
    assert!(loaded.warnings.iter().any(|warning| warning.contains("learning rate")), "{:?}", loaded.warnings);
}

#[test]
fn settings_survive_json() {
    let folder = Folder::new();
    let settings = folder.good(GOOD, &[("algorithm.learning_rate", "0.1"), ("model.device", "cpu")]).settings;
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<RunSettings>(&text).unwrap(), settings);
}
