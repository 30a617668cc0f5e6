// One AdamW step over lists of tensors, in one kernel per list: at::_fused_adamw_, which tch's generator leaves out.
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <c10/core/GradMode.h>

#include "guard.h"

using marft::Handle;
using marft::guarded;
using marft::list;

extern "C" {

int marft_fused_adamw(const Handle* params, const Handle* grads, const Handle* first, const Handle* second,
                      const Handle* steps, size_t count, double lr, double beta1, double beta2, double weight_decay,
                      double eps) {
  return guarded([&] {
    c10::AutoGradMode off(false);
    auto p = list(params, count), g = list(grads, count), m = list(first, count), v = list(second, count),
         t = list(steps, count);
    at::_foreach_add_(t, 1);  // the kernel reads the number of the step it makes
    at::_fused_adamw_(p, g, m, v, {}, t, lr, beta1, beta2, weight_decay, eps, false, false);
  });
}

// L2 norm of all tensors together, in f32; scalar tensor on the device of the first.
int marft_global_norm(const Handle* tensors, size_t count, Handle* norm) {
  return guarded([&] {
    c10::AutoGradMode off(false);
    auto norms = at::_foreach_norm(list(tensors, count), 2, at::kFloat);
    *norm = marft::give(at::stack(norms).norm());
  });
}

// Multiplies every tensor by a scalar tensor of the same device, in place.
int marft_scale_all(const Handle* tensors, size_t count, Handle factor) {
  return guarded([&] {
    c10::AutoGradMode off(false);
    at::_foreach_mul_(list(tensors, count), *factor);
  });
}

}  // extern "C"
