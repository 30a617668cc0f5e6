//! Frozen linear layers whose weight oneDNN has laid out once, for its own kernels.
//!
//! A plain linear layer lays its weight out again at every call, which at a few rows costs more than the product itself.

use std::ffi::c_int;

use tch::{Kind, Tensor};

use crate::error::{Handle, Result, handle, optional, take};

unsafe extern "C" {
    fn marft_pack_weight(weight: Handle, rows: i64, packed: *mut Handle) -> c_int;
    fn marft_packed_linear(x: Handle, packed: Handle, bias: Handle, out: *mut Handle) -> c_int;
}

/// A weight in oneDNN's layout: a copy, opaque to every other operation.
#[derive(Debug)]
pub struct PackedWeight {
    packed: Tensor,
    kind: Kind,
}

impl PackedWeight {
    /// Packs `weight` [out, in], on the CPU, f32 or bf16. `rows` is the number of rows it will mostly meet, if known.
    pub fn new(weight: &Tensor, rows: Option<usize>) -> Result<Self> {
        let rows = rows.map_or(0, |rows| i64::try_from(rows).unwrap_or(0));
        // SAFETY: a live handle; device and rank are checked by the entry, which fills the one slot on success.
        let [packed] = take("pack_weight", |out| unsafe { marft_pack_weight(handle(weight), rows, out.as_mut_ptr()) })?;
        Ok(Self { packed, kind: weight.kind() })
    }

    /// `x` [n, in] · weightᵀ (+ `bias` \[out\]) → [n, out]. Records no gradient. Kinds must be equal.
    pub fn linear(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        // SAFETY: live handles or null; `packed` comes from pack_weight, which is what the kernel wants.
        let [out] = take("packed_linear", |out| unsafe {
            marft_packed_linear(handle(x), handle(&self.packed), optional(bias), out.as_mut_ptr())
        })?;
        Ok(out)
    }

    /// The kind of the weight.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn equals_the_plain_layer() {
        for (kind, tolerance) in [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)] {
            let on = (Kind::Float, Device::Cpu);
            let (x, w, b) = (Tensor::randn([5, 64], on), Tensor::randn([48, 64], on) * 0.1, Tensor::randn([48], on));
            let [x, w, b] = [x, w, b].map(|t| t.to_kind(kind));
            let packed = PackedWeight::new(&w, Some(5)).unwrap();
            for bias in [None, Some(&b)] {
                let got = packed.linear(&x, bias).unwrap();
                assert!(got.allclose(&x.linear(&w, bias), tolerance, tolerance, false), "{kind:?}");
            }
        }
    }

    #[test]
    fn a_vector_is_no_weight_and_widths_must_agree() {
        let on = (Kind::Float, Device::Cpu);
        assert!(PackedWeight::new(&Tensor::zeros([4], on), None).is_err());
        let packed = PackedWeight::new(&Tensor::zeros([4, 8], on), None).unwrap();
        assert!(packed.linear(&Tensor::zeros([2, 7], on), None).is_err());
    }
}
