//! Fresh memory for large results: asked of the system in large pages where it has them.
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
}
