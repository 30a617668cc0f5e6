//! Memory from and to the system: large pages for large results, and what the allocator of tensors keeps without need.
//!
//! A page of 4 KiB is handed over and cleared on its first use, which for a long column costs as much as the work on it.

/// Columns shorter than this many bytes are left to the allocator, which hands out memory that was used before.
const LARGE: usize = 8 << 20;

/// `length` default values; of numbers, zeros.
pub fn defaults<T: Clone + Default>(length: usize) -> Vec<T> {
    // Zeros come straight from the system, which clears them when they are first used.
    let column = vec![T::default(); length];
    if size_of_val(&column[..]) >= LARGE {
        ask_for_large_pages(&column);
    }
    column
}

#[cfg(target_os = "linux")]
fn ask_for_large_pages<T>(column: &[T]) {
    use std::ffi::{c_int, c_void};
    const PAGE: usize = 4096;
    const MADV_HUGEPAGE: c_int = 14;
    unsafe extern "C" {
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }
    let range = column.as_ptr_range();
    let (start, end) = (range.start as usize, range.end as usize);
    let start = start.next_multiple_of(PAGE);
    // SAFETY: whole pages inside a live column; the advice changes neither what they hold nor who may use them. A refusal
    // leaves everything as it was.
    unsafe { madvise(start as *mut c_void, end / PAGE * PAGE - start, MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages<T>(_: &[T]) {}

/// Hands free memory of tensors back to the system. Steps whose tensors differ in size leave gaps behind in which the next one's
/// do not fit, and without this a process grows from step to step.
pub fn hand_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            fn malloc_trim(keep: usize) -> c_int;
        }
        // SAFETY: it touches pages that nobody holds, and takes the allocator's own locks.
        unsafe { malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_short_columns_are_zero_and_writable() {
        for length in [0, 3, LARGE / 4 + 5] {
            let mut column = defaults::<f32>(length);
            assert!(column.len() == length && column.iter().all(|&x| x == 0.0));
            column.fill(1.0);
            assert!(column.iter().all(|&x| x == 1.0));
        }
    }

    /// oneDNN reads it when it generates its first kernel; the shim sets it before `main`.
    #[test]
    fn generated_kernels_are_bounded() {
        assert!(crate::runtime::threads() > 0, "the shim is linked");
        let bound = std::env::var("ONEDNN_PRIMITIVE_CACHE_CAPACITY").unwrap();
        assert!(bound.parse::<u32>().unwrap() <= 1024, "{bound}");
    }
}
