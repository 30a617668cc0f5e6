//! Compiles the C++ shim (`cpp/*.cpp`) against the libtorch that torch-sys found, and writes its folder into the tests
//! of this crate so that they start without `LD_LIBRARY_PATH`.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=cpp");
    // Absent when torch-sys runs with `doc-only`: then there is nothing to compile against.
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else { return };
    let lib = std::fs::canonicalize(&lib).unwrap_or_else(|_| PathBuf::from(lib));
    let include = lib.join("../include");

    let cuda = std::env::var_os("CARGO_FEATURE_CUDA").is_some();
    let mut build = cc::Build::new();
    build
        .cpp(true)
        .pic(true)
        .std("c++17")
        .opt_level(3)
        // Debug information of libtorch's headers doubles the time to compile.
        .debug(false)
        .warnings(false)
        .flag("-D_GLIBCXX_USE_CXX11_ABI=1")
        .flag("-fopenmp")
        .flag("-Wno-psabi")
        .flag("-fno-math-errno")
        .flag("-fno-trapping-math")
        .include(&include)
        .include(include.join("torch/csrc/api/include"));
    if cuda {
        for folder in cuda_includes(&lib) {
            build.include(folder);
        }
    }
    for source in sources(Path::new("cpp"), cuda) {
        println!("cargo:rerun-if-changed={}", source.display());
        build.file(source);
    }
    build.compile("marft_shim");
    if cuda {
        println!("cargo:rustc-link-lib=c10_cuda");
    }

    // The kernels share libtorch's own OpenMP pool: it ships as libgomp.so.1 beside libtorch_cpu.so.
    println!("cargo:rustc-link-lib=gomp");
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}

/// Every C++ file of the shim; `cuda.cpp` needs CUDA headers and comes with its feature only.
fn sources(folder: &Path, cuda: bool) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the crate ships its cpp folder")
        .map(|entry| entry.expect("a readable folder entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "cpp"))
        .filter(|path| cuda || path.file_name().is_none_or(|name| name != "cuda.cpp"))
        .collect();
    files.sort();
    files
}

/// Where the CUDA headers lie: `CUDA_HOME`, or the `nvidia` packages beside the `torch` one.
fn cuda_includes(lib: &Path) -> Vec<PathBuf> {
    println!("cargo:rerun-if-env-changed=CUDA_HOME");
    let home = std::env::var_os("CUDA_HOME").map(|home| PathBuf::from(home).join("include"));
    let wheels = lib.join("../../nvidia");
    ["cu13/include", "cu13/include/cccl"]
        .iter()
        .map(|folder| wheels.join(folder))
        .chain(home)
        .filter(|folder| folder.is_dir())
        .collect()
}
