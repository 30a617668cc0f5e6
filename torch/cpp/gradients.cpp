// Two things about gradients that tch does not bind: starting a backward pass from a given gradient, and dropping the
// collected ones instead of zeroing them.
#include <torch/csrc/autograd/autograd.h>

#include "guard.h"

using marft::guarded;
using marft::Handle;
using marft::list;

extern "C" {

// Collects into the leaves below `output` what `gradient` (of its shape) makes of them.
int marft_backward(Handle output, Handle gradient) {
  return guarded([&] { torch::autograd::backward({*output}, {*gradient}); });
}

int marft_clear_gradients(const Handle* leaves, size_t count) {
  return guarded([&] {
    for (size_t i = 0; i < count; ++i) leaves[i]->mutable_grad().reset();
  });
}

}  // extern "C"
