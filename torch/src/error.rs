//! The error of the shim: which operation failed, and what libtorch said.

use std::ffi::{CStr, c_char, c_int};

use tch::{TchError, Tensor};
use torch_sys::C_tensor;

/// A call into libtorch that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {message}")]
pub struct Error {
    /// The operation of this crate.
    pub operation: &'static str,
    /// The first line of libtorch's message.
    pub message: String,
}

impl Error {
    /// What tch says of an operation that it refused: the first line, for the rest is a C++ back trace.
    pub(crate) fn tch(operation: &'static str, error: &TchError) -> Self {
        let text = error.to_string();
        Self { operation, message: text.lines().next().unwrap_or_default().to_owned() }
    }
}

/// Result of an operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A tensor as C++ sees it.
pub(crate) type Handle = *mut C_tensor;

unsafe extern "C" {
    safe fn marft_last_error() -> *const c_char;
}

/// Turns the status of an entry of the shim into a result.
pub(crate) fn check(status: c_int, operation: &'static str) -> Result<()> {
    if status == 0 { Ok(()) } else { Err(Error { operation, message: last_message() }) }
}

/// The first line of the message of this thread's last failure.
pub(crate) fn last_message() -> String {
    // SAFETY: the shim returns a pointer to a NUL-terminated thread-local string, valid until its next call here.
    let message = unsafe { CStr::from_ptr(marft_last_error()) }.to_string_lossy();
    message.lines().next().unwrap_or_default().to_owned()
}

/// The handle of a tensor for the duration of a call. The shim's entries read through it, or write into the tensor's
/// storage as any in-place operation of libtorch does; they never replace or free the handle.
pub(crate) fn handle(tensor: &Tensor) -> Handle {
    tensor.as_ptr().cast_mut()
}

/// The handle of a tensor, or null for none.
pub(crate) fn optional(tensor: Option<&Tensor>) -> Handle {
    tensor.map_or(std::ptr::null_mut(), handle)
}

/// The handles of a list.
pub(crate) fn handles<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> Vec<Handle> {
    tensors.into_iter().map(handle).collect()
}

/// Takes over the tensors that an entry has made, once its status says that it has.
pub(crate) fn take<const N: usize>(
    operation: &'static str,
    call: impl FnOnce(&mut [Handle; N]) -> c_int,
) -> Result<[Tensor; N]> {
    let mut made = [std::ptr::null_mut(); N];
    check(call(&mut made), operation)?;
    // SAFETY: on success the entry has filled every slot with a pointer from `new at::Tensor`, owned by nobody else.
    Ok(made.map(|pointer| unsafe { Tensor::from_ptr(pointer) }))
}
