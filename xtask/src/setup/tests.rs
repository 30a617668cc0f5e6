//! Set-up with a pip that is not there, fails in every way known, or is asked by two at once.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::bundle::Bundle;
use super::wheel::{Wheel, sha256};
use super::{Device, Machine, cargo_config, libtorch, progress::Progress, setup};
use crate::voice::shown;

const FILE: &str = "small-1.0-py3-none-any.whl";

/// A machine with a checkout, an empty cache, and a `python3` of which the tests say how it behaves.
struct World {
    folder: TempDir,
    machine: Machine,
}

impl World {
    fn new(mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["bin/index", "checkout/.cargo"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-python3");
        std::os::unix::fs::symlink(fake, at("bin/python3")).unwrap();
        fs::write(at("bin/mode"), mode).unwrap();
        let machine = Machine {
            root: at("checkout"),
            cache: at("cache/marft"),
            path: at("bin").into(),
            libtorch: None,
            platform: ("linux", "x86_64"),
        };
        Self { folder, machine }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn mode(&self, mode: &str) {
        fs::write(self.at("bin/mode"), mode).unwrap();
    }

    /// How often pip was asked.
    fn calls(&self) -> usize {
        fs::read_to_string(self.at("bin/calls")).map_or(0, |calls| calls.lines().count())
    }

    /// A bundle of one wheel, which the index holds.
    fn bundle(&self) -> Bundle {
        let path = self.at("bin/index").join(FILE);
        let mut wheel = zip::ZipWriter::new(fs::File::create(&path).unwrap());
        for (name, text) in [("small/lib/a.txt", "a"), ("small/dropped.py", "b"), ("../outside.txt", "c")] {
            wheel.start_file(name, zip::write::FileOptions::default()).unwrap();
            wheel.write_all(text.as_bytes()).unwrap();
        }
        wheel.finish().unwrap();
        let sha256 = sha256(&path, &Progress::start("hash")).unwrap().leak();
        Bundle {
            name: "things/small-1.0",
            wheels: vec![Wheel { file: FILE, sha256 }].leak(),
            keep: |path| (path.extension()? == "txt").then(|| path.to_owned()),
            files: &[("small/lib/a.txt", Some("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"))],
        }
    }

    /// What the user reads when the bundle cannot be installed; nothing is left behind.
    fn failure(&self, bundle: &Bundle) -> String {
        let error = bundle.install(&self.machine).expect_err("this cannot work");
        assert!(!self.place().exists());
        assert_eq!(self.beside_the_place(), ["small-1.0.lock"]);
        shown(&error)
    }

    fn place(&self) -> PathBuf {
        self.machine.cache.join("things/small-1.0")
    }

    fn beside_the_place(&self) -> Vec<String> {
        let entries = fs::read_dir(self.machine.cache.join("things")).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A folder that looks like an unpacked libtorch.
    fn libtorch(&self, name: &str, file: &str, text: &str) -> PathBuf {
        let folder = self.at(name);
        fs::create_dir_all(folder.join("lib")).unwrap();
        fs::write(folder.join(file), text).unwrap();
        folder
    }
}

#[test]
fn a_bundle_is_fetched_once_and_holds_what_is_kept() {
    let world = World::new("works");
    let bundle = world.bundle();
    let place = bundle.install(&world.machine).unwrap();
    assert_eq!(place, world.place());
    assert_eq!(fs::read_to_string(place.join("small/lib/a.txt")).unwrap(), "a");
    assert!(!place.join("small/dropped.py").exists());
    assert!(
        !world.machine.cache.join("outside.txt").exists() && !world.machine.cache.join("things/outside.txt").exists()
    );
    assert_eq!(world.beside_the_place(), ["small-1.0", "small-1.0.lock"]);

    bundle.install(&world.machine).unwrap();
    assert_eq!(world.calls(), 1);
    let asked = fs::read_to_string(world.at("bin/calls")).unwrap();
    assert!(asked.contains("--no-deps") && asked.trim_end().ends_with("small==1.0"), "{asked}");
}

#[test]
fn of_two_at_once_one_fetches_and_both_succeed() {
    let world = World::new("slow");
    let bundle = world.bundle();
    std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(|| bundle.install(&world.machine)));
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
    assert_eq!(world.calls(), 1);
}

#[test]
fn what_a_killed_setup_left_is_swept_and_other_files_are_not() {
    let world = World::new("works");
    let bundle = world.bundle();
    let beside = world.place().with_file_name("small-1.0.4242.tmp");
    fs::create_dir_all(beside.join("wheels")).unwrap();
    fs::create_dir_all(world.place().with_file_name("small-1.0.mine.tmp")).unwrap();
    bundle.install(&world.machine).unwrap();
    assert_eq!(world.beside_the_place(), ["small-1.0", "small-1.0.lock", "small-1.0.mine.tmp"]);
}

#[test]
fn a_folder_without_its_stamp_or_of_other_versions_is_replaced() {
    let world = World::new("works");
    let bundle = world.bundle();
    fs::create_dir_all(world.place()).unwrap();
    fs::write(world.place().join("half"), "").unwrap();
    bundle.install(&world.machine).unwrap();
    assert!(!world.place().join("half").exists());
    fs::write(world.place().join(".complete"), "another version").unwrap();
    bundle.install(&world.machine).unwrap();
    assert_eq!(world.calls(), 2);
}

#[test]
fn a_damaged_wheel_is_refused() {
    let world = World::new("works");
    let bundle = world.bundle();
    fs::write(world.at("bin/index").join(FILE), "something else").unwrap();
    let said = world.failure(&bundle);
    assert!(said.starts_with("error: small-1.0-py3-none-any.whl has SHA-256 "), "{said}");
    assert!(said.contains("\nhint: the download was damaged"), "{said}");
}

#[test]
fn another_wheel_than_asked_is_refused() {
    let world = World::new("works");
    let bundle = world.bundle();
    fs::rename(world.at("bin/index").join(FILE), world.at("bin/index/small-1.0-other.whl")).unwrap();
    let said = world.failure(&bundle);
    assert!(said.contains("pip did not fetch small-1.0-py3-none-any.whl (but: small-1.0-other.whl)"), "{said}");
}

#[test]
fn a_wheel_whose_content_is_not_as_promised_is_refused() {
    let world = World::new("works");
    let bundle = Bundle { files: &[("small/lib/a.txt", Some("00"))], ..world.bundle() };
    assert!(world.failure(&bundle).contains("a.txt has SHA-256 ca97"));
    let bundle = Bundle { files: &[("small/lib/b.txt", None)], ..world.bundle() };
    assert!(world.failure(&bundle).contains("hold no small/lib/b.txt"));
}

#[test]
fn every_failure_of_pip_is_one_line_and_a_hint() {
    for (mode, line, hint) in [
        ("no-pip", "error: python3 has no pip", "hint: install Python 3.8 or newer with pip"),
        ("no-network", "error: the Python package index cannot be reached: ", "hint: check the network"),
        ("no-space", "error: no space left in ", "hint: libtorch needs 3 GB"),
        ("no-file", "error: the Python package index has no such file: ", "hint: your pip configuration"),
        ("breaks", "error: pip failed: RuntimeError: broken", "hint: try `python3 -m pip download` by hand"),
    ] {
        let world = World::new(mode);
        let said = world.failure(&world.bundle());
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 2, "{mode}: {said}");
        assert!(lines[0].starts_with(line) && lines[1].starts_with(hint), "{mode}: {said}");
        // And it works once the cause is gone.
        world.mode("works");
        world.bundle().install(&world.machine).unwrap();
    }
}

#[test]
fn a_machine_without_python_is_told_to_install_it() {
    let mut world = World::new("works");
    world.machine.path = world.at("checkout").into();
    let said = world.failure(&world.bundle());
    assert!(said.starts_with("error: python3 is not on PATH\nhint: install Python"), "{said}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let world = World::new("works");
    fs::create_dir_all(world.machine.cache.parent().unwrap()).unwrap();
    fs::write(&world.machine.cache, "a file, not a folder").unwrap();
    let said = shown(&world.bundle().install(&world.machine).unwrap_err());
    assert!(said.starts_with(&format!("error: cannot write to {}: ", world.machine.cache.display())), "{said}");
    assert!(said.contains("\nhint: make that folder writable, or set XDG_CACHE_HOME"), "{said}");
}

#[test]
fn the_cache_follows_the_xdg_specification() {
    let cache = |xdg: Option<&str>, home: Option<&str>| {
        super::cache(|name| if name == "HOME" { home } else { xdg }.map(OsString::from))
    };
    assert_eq!(cache(Some("/x"), Some("/h")).unwrap(), Path::new("/x/marft"));
    assert_eq!(cache(None, Some("/h")).unwrap(), Path::new("/h/.cache/marft"));
    assert_eq!(cache(Some("relative"), Some("/h")).unwrap(), Path::new("/h/.cache/marft"));
    assert!(shown(&cache(None, None).unwrap_err()).contains("hint: set XDG_CACHE_HOME"));
}

#[test]
fn another_platform_is_refused_before_anything_is_fetched() {
    let mut world = World::new("works");
    world.machine.platform = ("macos", "aarch64");
    let said = shown(&setup(&world.machine, Device::Cpu).unwrap_err());
    assert!(said.starts_with("error: there is no ready-made libtorch for macos on aarch64"), "{said}");
    assert!(said.contains("\nhint: set LIBTORCH"), "{said}");
    assert_eq!(world.calls(), 0);
}

#[test]
fn the_users_own_libtorch_is_taken_when_its_version_is_right() {
    let mut world = World::new("breaks");
    for (name, file, text) in [
        ("wheel", "version.py", "from typing import Optional\n\n__version__ = '2.11.0+cu130'\ndebug = False\n"),
        ("archive", "build-version", "2.11.0+cpu\n"),
    ] {
        let own = world.libtorch(name, file, text);
        world.machine.libtorch = Some(own.clone());
        world.machine.platform = ("macos", "aarch64");
        let taken = libtorch::prepare(&world.machine, Device::Cpu).unwrap();
        assert_eq!(taken, own.canonicalize().unwrap());
    }
    assert_eq!(world.calls(), 0);
}

#[test]
fn the_users_own_libtorch_of_another_version_is_refused() {
    let mut world = World::new("breaks");
    world.machine.libtorch = Some(world.libtorch("old", "build-version", "2.1.0+cpu"));
    let said = shown(&libtorch::prepare(&world.machine, Device::Cpu).unwrap_err());
    assert!(said.contains("old is libtorch 2.1.0, not 2.11.0\nhint: set LIBTORCH"), "{said}");

    world.machine.libtorch = Some(world.at("nowhere"));
    let said = shown(&libtorch::prepare(&world.machine, Device::Cpu).unwrap_err());
    assert!(said.contains("nowhere is no libtorch\nhint: "), "{said}");
}

#[test]
fn a_libtorch_of_the_last_setup_that_is_gone_is_forgotten() {
    let mut world = World::new("breaks");
    let gone = world.at("gone");
    cargo_config::point_at(&world.machine.root, &gone).unwrap();
    world.machine.libtorch = Some(gone);
    let said = shown(&libtorch::prepare(&world.machine, Device::Cpu).unwrap_err());
    assert!(said.starts_with("error: pip failed"), "it must go on to fetch one: {said}");
}

#[test]
fn a_checkout_set_up_for_cuda_stays_so_until_told_otherwise() {
    let world = World::new("breaks");
    for bundle in [libtorch::CPU, libtorch::CUDA] {
        bundle.pretend_complete(&world.machine);
    }
    let prepare = |device| {
        let folder = libtorch::prepare(&world.machine, device).unwrap();
        cargo_config::point_at(&world.machine.root, &folder).unwrap();
        folder.strip_prefix(&world.machine.cache).unwrap().display().to_string()
    };
    assert_eq!(prepare(Device::AsBefore), "libtorch-2.11.0-cpu/torch");
    assert_eq!(prepare(Device::Cuda), "libtorch-2.11.0-cuda/torch");
    assert_eq!(prepare(Device::AsBefore), "libtorch-2.11.0-cuda/torch");
    assert_eq!(prepare(Device::Cpu), "libtorch-2.11.0-cpu/torch");
}

#[test]
fn cargo_is_pointed_at_libtorch_whatever_its_path() {
    let world = World::new("works");
    let folder = Path::new("/a \"quoted\" folder/ü");
    cargo_config::point_at(&world.machine.root, folder).unwrap();
    assert_eq!(cargo_config::libtorch(&world.machine.root).unwrap(), folder);
    let text = fs::read_to_string(world.at("checkout/.cargo/libtorch.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["build"]["rustdocflags"][1].as_str().unwrap(), "link-arg=-Wl,-rpath,/a \"quoted\" folder/ü/lib");
    assert_eq!(fs::read_dir(world.at("checkout/.cargo")).unwrap().count(), 1);
}

#[test]
fn wheels_know_their_requirement_and_platforms() {
    let wheel = |file| Wheel { file, sha256: "" };
    let nvshmem = wheel("nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl");
    assert_eq!(nvshmem.requirement(), "nvidia-nvshmem-cu13==3.4.5");
    assert_eq!(nvshmem.platforms().collect::<Vec<_>>(), ["manylinux2014_x86_64", "manylinux_2_17_x86_64"]);
    assert_eq!(wheel(FILE).platforms().count(), 0);
}

#[test]
fn every_pinned_wheel_has_a_hash_and_libtorch_keeps_its_native_half() {
    for wheel in libtorch::CPU.wheels.iter().chain(libtorch::CUDA.wheels) {
        assert!(wheel.sha256.len() == 64 && wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()), "{wheel:?}");
    }
    let kept = |path: &str| (libtorch::CPU.keep)(Path::new(path)).is_some();
    assert!(kept("torch/lib/libc10.so") && kept("torch/version.py") && kept("nvidia/cu13/lib/libcudart.so.13"));
    assert!(kept("torch-2.11.0.dist-info/licenses/LICENSE"));
    assert!(!kept("torch/nn/modules/linear.py") && !kept("functorch/__init__.py") && !kept("torch"));
}
