//! libtorch's threads for plain Rust: a list of jobs, or the runs of a slice, shared among them.
//!
//! What comes back is in the order of the jobs, whoever did them. So where the cut into jobs does not depend on the number
//! of threads, neither does a sum over them.

use std::any::Any;
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result, check};

unsafe extern "C" {
    fn marft_parallel(count: i64, work: extern "C" fn(*mut c_void, i64), state: *mut c_void) -> c_int;
}

/// Calls `work` with every number below `count`; a panic of one is passed on when all are done.
///
/// Neighbouring numbers go to one thread. Inside another parallel region, all go to the calling thread.
pub fn parallel_map<R: Send + Sync>(count: usize, work: impl Fn(usize) -> R + Sync) -> Result<Vec<R>> {
    let results: Vec<OnceLock<R>> = (0..count).map(|_| OnceLock::new()).collect();
    share(count, &|index| {
        // Nobody else has this number.
        let _ = results[index].set(work(index));
    })?;
    Ok(results.into_iter().filter_map(OnceLock::into_inner).collect())
}

/// Cuts `column` into runs and calls `work` with the range of each and its part of the column.
///
/// Run i is what lies between `ends[i - 1]` (0 for the first) and `ends[i]`. Refuses runs that go backwards or do not end
/// where the column does.
pub fn each_run<T: Send, R: Send + Sync>(
    ends: &[usize],
    column: &mut [T],
    work: impl Fn(usize, Range<usize>, &mut [T]) -> R + Sync,
) -> Result<Vec<R>> {
    let length = column.len();
    if !ends.is_sorted() || ends.last().copied().unwrap_or(0) != length {
        let message = format!("the runs must follow one another and end at {length}");
        return Err(Error { operation: "each_run", message });
    }
    let (mut runs, mut rest, mut start) = (Vec::with_capacity(ends.len()), column, 0);
    for &end in ends {
        let (run, after) = rest.split_at_mut(end - start);
        rest = after;
        runs.push(Mutex::new((start..end, run)));
        start = end;
    }
    parallel_map(runs.len(), |index| {
        let mut run = runs[index].lock().unwrap_or_else(PoisonError::into_inner);
        let (range, part) = &mut *run;
        work(index, range.clone(), part)
    })
}

/// A run of a new column, which is written from front to back.
#[derive(Debug)]
pub struct Unwritten<'a, T> {
    value: T,
    rest: &'a mut [MaybeUninit<T>],
}

impl<'a, T: Copy> Unwritten<'a, T> {
    /// The next `count` elements, just filled. Taken in small parts, they are still near when they are written over.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "the fill is compiled with the kernel that calls it")]
    pub fn take(&mut self, count: usize) -> &'a mut [T] {
        // Before anything is taken away: what a caller that catches the panic leaves must still be here to be filled.
        assert!(count <= self.rest.len(), "{count} elements of {}", self.rest.len());
        let (part, rest) = std::mem::take(&mut self.rest).split_at_mut(count);
        self.rest = rest;
        for element in &mut *part {
            element.write(self.value);
        }
        // SAFETY: every element of the part has just been written.
        unsafe { &mut *(&raw mut *part as *mut [T]) }
    }
}

/// A new column of `value`, cut and worked on like [`each_run`]; what `work` does not take of its run remains `value`.
pub fn new_column<T: Copy + Send + Sync, R: Send + Sync>(
    ends: &[usize],
    value: T,
    work: impl Fn(usize, Range<usize>, &mut Unwritten<'_, T>) -> R + Sync,
) -> Result<(Vec<T>, Vec<R>)> {
    let length = ends.last().copied().unwrap_or(0);
    let mut column = Vec::with_capacity(length);
    let results = each_run(ends, &mut column.spare_capacity_mut()[..length], |index, range, rest| {
        let mut run = Unwritten { value, rest };
        let result = work(index, range, &mut run);
        run.take(run.rest.len());
        result
    })?;
    // SAFETY: the runs cover the column up to `length`, which it has room for, and every run was filled: a run that
    // panicked has ended this function.
    unsafe { column.set_len(length) };
    Ok((column, results))
}

struct Jobs<'a> {
    work: &'a (dyn Fn(usize) + Sync),
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

fn share(count: usize, work: &(dyn Fn(usize) + Sync)) -> Result<()> {
    let jobs = Jobs { work, panic: Mutex::new(None) };
    // SAFETY: the jobs live until the call returns and are only read; `call` does not unwind.
    let status = unsafe { marft_parallel(count as i64, call, (&raw const jobs).cast_mut().cast()) };
    if let Some(panic) = jobs.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
        resume_unwind(panic);
    }
    check(status, "parallel")
}

extern "C" fn call(jobs: *mut c_void, index: i64) {
    // SAFETY: `share` passes its `Jobs`, which outlive the call and are shared by its threads; all of them are `Sync`.
    let jobs = unsafe { &*jobs.cast_const().cast::<Jobs<'_>>() };
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (jobs.work)(index as usize))) {
        *jobs.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_jobs() {
        let squares = parallel_map(100, |index| index * index).unwrap();
        assert!(squares.iter().enumerate().all(|(index, &square)| square == index * index));
        assert_eq!(squares.len(), 100);
        assert!(parallel_map(0, |index| index).unwrap().is_empty());
    }

    #[test]
    fn a_panic_comes_through() {
        let caught = catch_unwind(|| parallel_map(3, |index| assert_ne!(index, 1, "the second")));
        assert!(caught.unwrap_err().downcast_ref::<String>().unwrap().contains("the second"));
    }

    #[test]
    fn runs_cover_a_column() {
        let mut column = [0; 5];
        let ranges = each_run(&[2, 2, 5], &mut column, |index, range, part| {
            part.fill(index);
            range
        });
        assert_eq!(ranges.unwrap(), [0..2, 2..2, 2..5]);
        assert_eq!(column, [0, 0, 2, 2, 2]);
        let (new, _) = new_column(&[2, 3], 7, |index, _, run| run.take(1)[0] = index as i32).unwrap();
        assert_eq!(new, [0, 7, 1]);
        let (parts, _) =
            new_column(&[4], 7, |_, _, run| run.take(1).iter_mut().chain(run.take(2)).for_each(|x| *x = 1)).unwrap();
        assert_eq!(parts, [1, 1, 1, 7]);
        let caught = catch_unwind(|| new_column(&[2], 7, |_, _, run| run.take(3).len()));
        assert!(caught.is_err(), "more than there is");
        assert!(new_column(&[2, 1], 7, |_, _, _| ()).is_err(), "a column of runs that go back");
        assert!(each_run(&[1], &mut column, |_, _, _| ()).is_err(), "runs that end too early");
        assert!(each_run(&[3, 1, 5], &mut column, |_, _, _| ()).is_err(), "runs that go back");
    }
}
