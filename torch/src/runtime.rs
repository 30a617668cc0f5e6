//! Switches of libtorch: gradient mode, threads, attention backends, determinism, and the CUDA half of the library.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;

use crate::error::{Result, check, last_message};

unsafe extern "C" {
    safe fn marft_torch_version() -> *const c_char;
    fn marft_load_cuda(loaded: *mut c_int) -> c_int;
    safe fn marft_grad_enabled() -> c_int;
    safe fn marft_set_grad_enabled(on: c_int);
    safe fn marft_threads() -> c_int;
    safe fn marft_interop_threads() -> c_int;
    safe fn marft_set_threads(count: c_int) -> c_int;
    safe fn marft_set_interop_threads(count: c_int) -> c_int;
    safe fn marft_sdpa_backends() -> c_int;
    safe fn marft_set_sdpa_backends(bits: c_int) -> c_int;
    safe fn marft_deterministic() -> c_int;
    safe fn marft_set_deterministic(on: c_int, warn_only: c_int) -> c_int;
}

/// The version of the libtorch this program was compiled against, such as `2.11.0`.
pub fn torch_version() -> &'static str {
    // SAFETY: a string literal of the shim: NUL-terminated and static.
    let version = unsafe { CStr::from_ptr(marft_torch_version()) };
    version.to_str().expect("a version is ASCII")
}

/// Loads the CUDA half of libtorch where it is found; `Ok(false)` on a machine without it, which is no error.
///
/// Linkers drop `libtorch_cuda.so` from a program that names none of its symbols, and a program that must have it would
/// not start on a CPU-only machine. So it is opened at run time: call this once, before the first tensor.
pub fn load_cuda() -> Result<bool> {
    let mut loaded = 0;
    // SAFETY: `loaded` outlives the call. Opening the library runs its initialisers, which libtorch is built for.
    check(unsafe { marft_load_cuda(&raw mut loaded) }, "load_cuda")?;
    Ok(loaded != 0)
}

/// Why [`load_cuda`] has just said `false` on this thread.
pub fn load_cuda_reason() -> String {
    last_message()
}

/// Sets whether this thread records gradients, until it is dropped: also by a panic, unlike `tch::no_grad`.
///
/// Gradient mode belongs to a thread, so a guard cannot be sent to another:
///
/// ```compile_fail
/// let guard = marft_torch::GradMode::off();
/// std::thread::spawn(move || drop(guard));
/// ```
#[derive(Debug)]
#[must_use = "the mode lasts only as long as the guard"]
pub struct GradMode {
    before: c_int,
    of_this_thread: PhantomData<*const ()>,
}

impl GradMode {
    /// No gradients are recorded.
    pub fn off() -> Self {
        Self::set(0)
    }

    /// Gradients are recorded.
    pub fn on() -> Self {
        Self::set(1)
    }

    /// Whether this thread records gradients now.
    pub fn is_on() -> bool {
        marft_grad_enabled() != 0
    }

    fn set(on: c_int) -> Self {
        let before = marft_grad_enabled();
        marft_set_grad_enabled(on);
        Self { before, of_this_thread: PhantomData }
    }
}

impl Drop for GradMode {
    fn drop(&mut self) {
        marft_set_grad_enabled(self.before);
    }
}

/// Threads that one operation may use.
pub fn threads() -> usize {
    marft_threads().unsigned_abs() as usize
}

/// Sets the threads that one operation may use; at least 1. Kernels of this crate give the same bits at any count.
pub fn set_threads(count: usize) -> Result<()> {
    check(marft_set_threads(c_int::try_from(count).unwrap_or(c_int::MAX)), "set_threads")
}

/// Threads for operations that run side by side.
pub fn interop_threads() -> usize {
    marft_interop_threads().unsigned_abs() as usize
}

/// Sets the threads for operations that run side by side. libtorch allows this once, before its first parallel work.
pub fn set_interop_threads(count: usize) -> Result<()> {
    check(marft_set_interop_threads(c_int::try_from(count).unwrap_or(c_int::MAX)), "set_interop_threads")
}

/// Which implementations `scaled_dot_product_attention` may pick from on CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdpaBackends {
    /// Flash attention.
    pub flash: bool,
    /// Memory-efficient attention.
    pub memory_efficient: bool,
    /// Plain matrix products.
    pub math: bool,
    /// cuDNN's.
    pub cudnn: bool,
}

impl SdpaBackends {
    /// What libtorch may pick from now.
    pub fn current() -> Self {
        let bits = marft_sdpa_backends();
        Self { flash: bits & 1 != 0, memory_efficient: bits & 2 != 0, math: bits & 4 != 0, cudnn: bits & 8 != 0 }
    }

    /// Makes this the choice of the whole process.
    pub fn apply(self) -> Result<()> {
        let bits = c_int::from(self.flash)
            | c_int::from(self.memory_efficient) << 1
            | c_int::from(self.math) << 2
            | c_int::from(self.cudnn) << 3;
        check(marft_set_sdpa_backends(bits), "set_sdpa_backends")
    }
}

/// Whether libtorch restricts itself to deterministic algorithms.
pub fn deterministic() -> bool {
    marft_deterministic() != 0
}

/// Restricts libtorch to deterministic algorithms; where it has none it fails, or warns if `warn_only`.
#[expect(clippy::fn_params_excessive_bools, reason = "the two switches of libtorch's own function, by its names")]
pub fn set_deterministic(on: bool, warn_only: bool) -> Result<()> {
    check(marft_set_deterministic(c_int::from(on), c_int::from(warn_only)), "set_deterministic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn version_is_the_one_tch_binds() {
        assert!(torch_version().starts_with("2.11."), "{}", torch_version());
    }

    #[test]
    fn grad_mode_is_restored_by_drop_and_by_unwinding() {
        let leaf = Tensor::ones([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        assert!(GradMode::is_on());
        {
            let _off = GradMode::off();
            assert!(!(&leaf * 2).requires_grad());
            let _on = GradMode::on();
            assert!((&leaf * 2).requires_grad());
        }
        assert!(GradMode::is_on());
        let panicked = std::panic::catch_unwind(|| {
            let _off = GradMode::off();
            panic!("inside");
        });
        assert!(panicked.is_err() && GradMode::is_on());
    }

    #[test]
    fn grad_mode_is_per_thread() {
        let _off = GradMode::off();
        assert!(std::thread::spawn(GradMode::is_on).join().unwrap());
    }

    #[test]
    fn switches_read_back() {
        let before = SdpaBackends::current();
        SdpaBackends { flash: false, ..before }.apply().unwrap();
        assert!(!SdpaBackends::current().flash);
        before.apply().unwrap();
        assert_eq!(SdpaBackends::current(), before);

        set_deterministic(true, true).unwrap();
        assert!(deterministic());
        set_deterministic(false, false).unwrap();
        assert!(!deterministic());

        set_threads(1).unwrap();
        assert_eq!(threads(), 1);
    }

    #[test]
    fn zero_threads_is_refused_with_a_message() {
        let error = set_threads(0).unwrap_err();
        assert_eq!(error.operation, "set_threads");
        assert!(!error.message.is_empty());
    }

    #[test]
    fn cuda_half_is_loaded_or_the_reason_is_known() {
        if !load_cuda().unwrap() {
            assert!(load_cuda_reason().contains("libtorch_cuda") || load_cuda_reason().contains(".so"));
            assert!(!tch::Cuda::is_available());
        }
    }
}
