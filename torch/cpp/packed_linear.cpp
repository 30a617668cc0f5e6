// Frozen linear layers with a weight that oneDNN has laid out for its own kernels once, instead of at every call.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <c10/core/GradMode.h>

#include "guard.h"

using marft::Handle;
using marft::guarded;

namespace {

c10::OperatorHandle op(const char* name) { return c10::Dispatcher::singleton().findSchemaOrThrow(name, ""); }

}  // namespace

extern "C" {

// weight [out, in], dense, on the CPU → an opaque tensor for marft_packed_linear, laid out for about `rows` rows.
int marft_pack_weight(Handle weight, int64_t rows, Handle* packed) {
  return guarded([&] {
    c10::AutoGradMode off(false);
    TORCH_CHECK(weight->device().is_cpu() && weight->dim() == 2, "a weight to pack is a CPU matrix");
    static auto handle = op("mkldnn::_reorder_linear_weight");
    torch::jit::Stack stack;
    stack.emplace_back(weight->contiguous());
    if (rows > 0) stack.emplace_back(rows); else stack.emplace_back();
    handle.callBoxed(stack);
    *packed = marft::give(stack.front().toTensor());
  });
}

int marft_packed_linear(Handle x, Handle packed, Handle bias, Handle* out) {
  return guarded([&] {
    c10::AutoGradMode off(false);
    static auto handle = op("mkldnn::_linear_pointwise");
    torch::jit::Stack stack;
    stack.emplace_back(x->contiguous());
    stack.emplace_back(*packed);
    if (bias) stack.emplace_back(*bias); else stack.emplace_back();
    stack.emplace_back("none");
    stack.emplace_back(c10::List<std::optional<at::Scalar>>());
    stack.emplace_back();
    handle.callBoxed(stack);
    *out = marft::give(stack.front().toTensor());
  });
}

}  // extern "C"
