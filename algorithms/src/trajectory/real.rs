//! The two float types a chain may hold.
//!
//! Rollouts and tensors are f32; reference numbers are checked in f64. All sums run in f64 in both cases.

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// f32 or f64. Sealed: an integer type here would truncate every advantage between -1 and 1 to zero.
pub trait Real:
    sealed::Sealed + Copy + Default + PartialEq + PartialOrd + std::fmt::Debug + Send + Sync + 'static
{
    /// Widens, exactly.
    fn wide(self) -> f64;
    /// Rounds to the nearest.
    fn narrow(wide: f64) -> Self;
}

impl Real for f32 {
    #[inline]
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline]
    fn narrow(wide: f64) -> Self {
        wide as Self
    }
}

impl Real for f64 {
    #[inline]
    fn wide(self) -> f64 {
        self
    }
    #[inline]
    fn narrow(wide: f64) -> Self {
        wide
    }
}
