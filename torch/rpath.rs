//! Build script shared by every package that links a test, an example or a binary: it writes the folder of libtorch into
//! them, so that they start without `LD_LIBRARY_PATH`. Cargo hands a library's link arguments to nobody else, hence one
//! script in each package.

#![expect(clippy::print_stdout, reason = "a build script speaks to cargo on stdout")]

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        let lib = std::fs::canonicalize(&lib).map_or(lib, |path| path.display().to_string());
        println!("cargo:rustc-link-arg=-Wl,-rpath,{lib}");
    }
}
