//! libtorch: which wheels it comes from, and which folder to build against.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, anyhow, bail, ensure};
use fs_err as fs;

use super::bundle::Bundle;
use super::wheel::Wheel;
use super::{Device, Machine, cargo_config};
use crate::voice::{Hinted, say};

/// The one version that the `tch` in `Cargo.toml` is generated for.
pub(super) const VERSION: &str = "2.11.0";

macro_rules! wheels {
    ($($file:literal $sha256:literal)*) => { &[$(Wheel { file: $file, sha256: $sha256 }),*] };
}

/// torch itself, and the two small CUDA libraries that even its CPU half is linked to.
pub(super) const CPU: Bundle = Bundle {
    name: "libtorch-2.11.0-cpu",
    wheels: wheels! {
        "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"
            "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"
        "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
        "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl"
            "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"
    },
    keep,
    files: FILES,
};

/// All of it: what the torch wheel asks for on a machine with a GPU, and the headers to compile against CUDA.
pub(super) const CUDA: Bundle = Bundle {
    name: "libtorch-2.11.0-cuda",
    wheels: wheels! {
        "torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl"
            "7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a"
        "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
        "nvidia_cuda_cupti-13.0.85-py3-none-manylinux_2_25_x86_64.whl"
            "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"
        "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"
        "nvidia_cuda_cccl-13.0.85-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649"
        "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl"
            "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575"
        "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl"
            "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171"
        "nvidia_cudnn_cu13-9.19.0.56-py3-none-manylinux_2_27_x86_64.whl"
            "d20e1734305e9d68889a96e3f35094d733ff1f83932ebe462753973e53a572bf"
        "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3"
        "nvidia_cufile-1.15.1.6-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "08a3ecefae5a01c7f5117351c64f17c7c62efa5fffdbe24fc7d298da19cd0b44"
        "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl"
            "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc"
        "nvidia_cusolver-12.0.4.66-py3-none-manylinux_2_27_x86_64.whl"
            "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112"
        "nvidia_cusparse-12.6.3.3-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b"
        "nvidia_cusparselt_cu13-0.8.0-py3-none-manylinux2014_x86_64.whl"
            "25e30a8a7323935d4ad0340b95a0b69926eee755767e8e0b1cf8dd85b197d3fd"
        "nvidia_nccl_cu13-2.28.9-py3-none-manylinux_2_18_x86_64.whl"
            "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42"
        "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl"
            "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b"
        "nvidia_nvshmem_cu13-3.4.5-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl"
            "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80"
        "nvidia_nvtx-13.0.85-py3-none-manylinux1_x86_64.manylinux_2_5_x86_64.whl"
            "4936d1d6780fbe68db454f5e72a42ff64d1fd6397df9f363ae786930fd5c1cd4"
    },
    keep,
    files: FILES,
};

const FILES: &[(&str, Option<&str>)] = &[
    ("torch/version.py", None),
    ("torch/lib/libtorch_cpu.so", None),
    ("torch/include/torch/csrc/api/include/torch/torch.h", None),
];

/// Libraries, headers, the version and the licences; not the Python half.
fn keep(member: &Path) -> Option<PathBuf> {
    let mut parts = member.components().filter_map(|part| match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    });
    let wanted = match (parts.next()?, parts.next()?) {
        ("torch", second) => matches!(second, "lib" | "include" | "version.py"),
        ("nvidia", _) => true,
        (first, _) => first.ends_with(".dist-info"),
    };
    wanted.then(|| member.to_owned())
}

/// Returns the folder to build against (what `LIBTORCH` means), fetching it when the user has none.
pub(super) fn prepare(machine: &Machine, device: Device) -> Result<PathBuf> {
    if let Some(own) = users_own(machine)? {
        return Ok(own);
    }
    match machine.platform {
        ("linux", "x86_64") => {}
        (os, arch) => bail!(Hinted::new(
            format!("there is no ready-made libtorch for {os} on {arch}: only Linux on x86_64 is supported"),
            "set LIBTORCH to a libtorch 2.11.0 that you have built, and run the command again",
        )),
    }
    let chosen = cargo_config::libtorch(&machine.root);
    let cuda = match device {
        Device::Cpu => false,
        Device::Cuda => true,
        Device::AsBefore => chosen.is_some_and(|path| path == machine.cache.join(CUDA.name).join("torch")),
    };
    let bundle = if cuda { CUDA } else { CPU };
    Ok(bundle.install(machine)?.join("torch"))
}

/// The libtorch that `LIBTORCH` names, unless it is one of ours.
///
/// Cargo sets `LIBTORCH` from `.cargo/libtorch.toml` for its children, so this process sees what the last set-up wrote
/// just as it sees what the user exports.
fn users_own(machine: &Machine) -> Result<Option<PathBuf>> {
    let Some(folder) = machine.libtorch.as_ref().filter(|folder| !folder.starts_with(&machine.cache)) else {
        return Ok(None);
    };
    let from_last_time = cargo_config::libtorch(&machine.root).as_ref() == Some(folder);
    if from_last_time && !folder.exists() {
        say(format_args!("the libtorch of the last set-up, {}, is gone", folder.display()));
        return Ok(None);
    }
    let hint = format!("set LIBTORCH to the folder of libtorch {VERSION} (it holds `lib` and `include`), or unset it");
    let version = version(folder)
        .ok_or_else(|| anyhow!(Hinted::new(format!("LIBTORCH={} is no libtorch", folder.display()), &*hint)))?;
    ensure!(
        version == VERSION,
        Hinted::new(format!("LIBTORCH={} is libtorch {version}, not {VERSION}", folder.display()), hint)
    );
    Ok(Some(fs::canonicalize(folder)?))
}

/// The version of the libtorch in a folder, without the build (`+cpu`, `+cu130`): the wheel says it in `version.py`, the
/// archive from pytorch.org in `build-version`.
fn version(folder: &Path) -> Option<String> {
    if !folder.join("lib").is_dir() {
        return None;
    }
    let from_archive = fs::read_to_string(folder.join("build-version")).ok();
    let text = from_archive.or_else(|| {
        let python = fs::read_to_string(folder.join("version.py")).ok()?;
        let line = python.lines().find_map(|line| line.strip_prefix("__version__ = "))?;
        Some(line.trim_matches(['\'', '"']).to_owned())
    })?;
    text.trim().split('+').next().map(str::to_owned)
}
