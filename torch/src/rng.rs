//! State of libtorch's default generators, which tch can seed but not read: what a checkpoint stores.

use std::ffi::c_int;

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Handle, Result, check, handle, take};

unsafe extern "C" {
    fn marft_rng_state(cuda_index: c_int, state: *mut Handle) -> c_int;
    fn marft_set_rng_state(cuda_index: c_int, state: Handle) -> c_int;
}

fn index_of(device: Device, operation: &'static str) -> Result<c_int> {
    match device {
        Device::Cpu => Ok(-1),
        Device::Cuda(index) => Ok(c_int::try_from(index).unwrap_or(c_int::MAX)),
        other => Err(Error { operation, message: format!("no generator on {other:?}") }),
    }
}

/// The state of the default generator of a device. The CPU's is one for the whole process.
pub fn rng_state(device: Device) -> Result<Vec<u8>> {
    let index = index_of(device, "rng_state")?;
    // SAFETY: on success the entry fills the one slot with a new tensor.
    let [state] = take("rng_state", |out| unsafe { marft_rng_state(index, out.as_mut_ptr()) })?;
    let mut bytes = vec![0; state.numel()];
    state.to_device(Device::Cpu).copy_data(&mut bytes, state.numel());
    Ok(bytes)
}

/// Puts a state back that [`rng_state`] gave for the same kind of device.
pub fn set_rng_state(device: Device, state: &[u8]) -> Result<()> {
    let index = index_of(device, "set_rng_state")?;
    let state = Tensor::from_slice(state).to_kind(Kind::Uint8);
    // SAFETY: `state` is a live byte tensor; libtorch checks its size and content.
    check(unsafe { marft_set_rng_state(index, handle(&state)) }, "set_rng_state")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_put_back_repeats_the_numbers() {
        let state = rng_state(Device::Cpu).unwrap();
        let draw = || Vec::<f32>::try_from(Tensor::rand([8], (Kind::Float, Device::Cpu))).unwrap();
        let first = draw();
        assert_ne!(first, draw());
        set_rng_state(Device::Cpu, &state).unwrap();
        assert_eq!(first, draw());
    }

    #[test]
    fn a_state_of_the_wrong_size_is_refused() {
        assert!(set_rng_state(Device::Cpu, &[1, 2, 3]).is_err());
    }
}
