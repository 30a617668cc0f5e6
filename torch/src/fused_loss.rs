//! A loss computed together with its gradient, outside autograd, and put back into the graph as one node.
//!
//! As a chain of tensor operations a loss reads and writes its columns a dozen times. Here plain Rust reads the values of
//! the one column that carries a gradient where they lie and writes the gradient where it will be used, so that neither is
//! copied on a CPU. Runs of the column are worked on by libtorch's threads.

use std::ffi::c_int;
use std::marker::PhantomData;

use tch::kind::Element;
use tch::{Device, Tensor};

use crate::error::{Error, Handle, Result, handle, take};
use crate::parallel::each_run;

unsafe extern "C" {
    fn marft_given_gradient(variable: Handle, gradient: Handle, value: f64, out: *mut Handle) -> c_int;
}

/// The floats that a loss is computed in: f32 and f64. Any bits are a number of these.
pub trait Float: Element + Copy + Send + Sync + sealed::Sealed {}

impl Float for f32 {}
impl Float for f64 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// The variable of a loss and, once [`each_run`](Self::each_run) has gone over it, the gradient of the loss by it.
#[derive(Debug)]
pub struct FusedLoss<F> {
    variable: Tensor,
    host: Tensor,
    gradient: Tensor,
    element: PhantomData<F>,
}

impl<F: Float> FusedLoss<F> {
    /// Takes the variable `[n]`, on any device. Refuses another shape or kind.
    pub fn new(variable: &Tensor) -> Result<Self> {
        let refuse = |message: String| Error { operation: "fused_loss", message };
        if variable.dim() != 1 || variable.kind() != F::KIND {
            let (shape, kind) = (variable.size(), variable.kind());
            return Err(refuse(format!("the variable is {shape:?} of {kind:?}, expected [n] of {:?}", F::KIND)));
        }
        let torch = |error: tch::TchError| refuse(error.to_string());
        let host = variable.detach().f_to_device(Device::Cpu).and_then(|host| host.f_contiguous()).map_err(torch)?;
        let gradient = Tensor::f_empty([host.numel() as i64], (F::KIND, Device::Cpu)).map_err(torch)?;
        Ok(Self { variable: variable.shallow_clone(), host, gradient, element: PhantomData })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.host.numel()
    }

    /// Whether the variable has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `work` with the number of each run, the values in it, and its part of the gradient, which holds junk and must
    /// be written; what it returns comes back in the order of the runs.
    ///
    /// Run i is what lies between `ends[i - 1]` (0 for the first) and `ends[i]`. The runs are shared among libtorch's
    /// threads. Refuses runs that go backwards or do not end where the variable does. A panic of `work` is passed on.
    pub fn each_run<R: Send + Sync>(
        &mut self,
        ends: &[usize],
        work: impl Fn(usize, &[F], &mut [F]) -> R + Sync,
    ) -> Result<Vec<R>> {
        let (values, gradient) = self.slices();
        each_run(ends, gradient, |index, range, gradient| work(index, &values[range], gradient))
    }

    /// The scalar `value` with the gradient that was written.
    pub fn finish(self, value: f64) -> Result<Tensor> {
        let gradient = self
            .gradient
            .f_to_device(self.variable.device())
            .map_err(|error| Error { operation: "fused_loss", message: error.to_string() })?;
        let [loss] = take("fused_loss", |out| {
            // SAFETY: live handles, and room for one.
            unsafe { marft_given_gradient(handle(&self.variable), handle(&gradient), value, out.as_mut_ptr()) }
        })?;
        Ok(loss)
    }

    fn slices(&mut self) -> (&[F], &mut [F]) {
        let length = self.len();
        if length == 0 {
            return (&[], &mut []);
        }
        // SAFETY: both tensors are dense, on the CPU, and of `length` elements of kind `F::KIND`, which `new` has made
        // sure of, and live as long as `self`. The gradient is ours alone; what its memory holds, libtorch has given it,
        // and it is a `Float` whatever it is. The values may have aliases, but while the slice lives only `work`
        // of `each_run` runs, which cannot hold a tensor, for tensors are not `Sync`.
        unsafe {
            (
                std::slice::from_raw_parts(self.host.data_ptr().cast_const().cast::<F>(), length),
                std::slice::from_raw_parts_mut(self.gradient.data_ptr().cast::<F>(), length),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(values: &[f32]) -> Tensor {
        Tensor::from_slice(values).set_requires_grad(true)
    }

    #[test]
    fn value_and_gradient_are_what_was_given() {
        let x = variable(&[1.0, 2.0, f32::NAN, 4.0]);
        let mut loss = FusedLoss::<f32>::new(&x).unwrap();
        let sums = loss.each_run(&[1, 1, 4], |index, values, gradient| {
            gradient.fill(index as f32);
            values.iter().filter(|value| !value.is_nan()).sum::<f32>()
        });
        assert_eq!(sums.unwrap(), [1.0, 0.0, 6.0]);
        let loss = loss.finish(7.25).unwrap();
        assert_eq!(loss.double_value(&[]), 7.25);
        (loss * 3.0).backward();
        assert_eq!(Vec::<f32>::try_from(x.grad()).unwrap(), [0.0, 6.0, 6.0, 6.0]);
    }

    /// A factor of one hands the stored gradient on without a copy; a second pass must find it untouched.
    #[test]
    fn the_gradient_survives_a_backward_pass() {
        let x = variable(&[1.0, 2.0]);
        let mut fused = FusedLoss::<f32>::new(&x).unwrap();
        fused.each_run(&[2], |_, _, gradient| gradient.copy_from_slice(&[0.5, -2.0])).unwrap();
        let loss = fused.finish(0.0).unwrap();
        for _ in 0..2 {
            let [gradient] = &Tensor::run_backward(&[&loss], &[&x], true, false)[..] else { panic!("one gradient") };
            assert_eq!(Vec::<f32>::try_from(gradient).unwrap(), [0.5, -2.0]);
        }
        loss.backward();
        assert_eq!(Vec::<f32>::try_from(x.grad()).unwrap(), [0.5, -2.0]);
    }

    #[test]
    fn without_a_gradient_it_is_a_number() {
        let x = Tensor::from_slice(&[1.0f64]);
        let mut fused = FusedLoss::<f64>::new(&x).unwrap();
        fused.each_run(&[1], |_, _, gradient| gradient.fill(0.0)).unwrap();
        assert!(!fused.finish(1.5).unwrap().requires_grad());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(FusedLoss::<f64>::new(&variable(&[1.0])).is_err(), "another kind");
        assert!(FusedLoss::<f32>::new(&Tensor::zeros([2, 2], tch::kind::FLOAT_CPU)).is_err(), "a matrix");
        let mut none = FusedLoss::<f32>::new(&variable(&[])).unwrap();
        assert!(none.is_empty() && none.each_run(&[], |_, _, _| ()).unwrap().is_empty());
    }
}
