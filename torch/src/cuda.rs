//! Figures of the CUDA allocator, and giving its unused memory back.

use std::ffi::c_int;

use crate::error::{Result, check};

unsafe extern "C" {
    fn marft_cuda_memory(index: c_int, figures: *mut i64) -> c_int;
    safe fn marft_cuda_reset_peak(index: c_int) -> c_int;
    safe fn marft_cuda_empty_cache() -> c_int;
}

/// Bytes that the allocator of one device holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CudaMemory {
    /// In tensors now.
    pub allocated: i64,
    /// In tensors at most, since the start or the last reset.
    pub peak_allocated: i64,
    /// Taken from the device now.
    pub reserved: i64,
    /// Taken from the device at most.
    pub peak_reserved: i64,
}

/// What the allocator of device `index` holds. Fails where CUDA is not initialised.
pub fn cuda_memory(index: usize) -> Result<CudaMemory> {
    let mut figures = [0; 4];
    let index = c_int::try_from(index).unwrap_or(c_int::MAX);
    // SAFETY: the entry writes four numbers into an array of four that outlives the call.
    check(unsafe { marft_cuda_memory(index, figures.as_mut_ptr()) }, "cuda_memory")?;
    let [allocated, peak_allocated, reserved, peak_reserved] = figures;
    Ok(CudaMemory { allocated, peak_allocated, reserved, peak_reserved })
}

/// Starts the peaks of device `index` anew.
pub fn reset_cuda_peak(index: usize) -> Result<()> {
    check(marft_cuda_reset_peak(c_int::try_from(index).unwrap_or(c_int::MAX)), "reset_cuda_peak")
}

/// Gives memory that no tensor uses back to the devices.
pub fn empty_cuda_cache() -> Result<()> {
    check(marft_cuda_empty_cache(), "empty_cuda_cache")
}
