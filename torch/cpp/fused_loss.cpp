// A scalar whose gradient was computed along with it, as a node of the graph.
#include <torch/csrc/autograd/custom_function.h>

#include "guard.h"

using marft::guarded;
using marft::Handle;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

struct GivenGradient : Function<GivenGradient> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& variable, const at::Tensor& gradient, double value) {
    context->save_for_backward({gradient});
    return at::scalar_tensor(value, variable.options());
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto gradient = context->get_saved_variables()[0];
    const auto& factor = grads[0];
    // A loss is nearly always the end of the graph: then the factor is one, and a column less is read and written.
    const bool one = factor.is_cpu() && factor.item<double>() == 1.0;
    return {one ? gradient : gradient * factor, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

extern "C" {

// `value` as a scalar of the kind and on the device of `variable`, with `gradient` (of its shape, kind and device) by it.
int marft_given_gradient(Handle variable, Handle gradient, double value, Handle* out) {
  return guarded([&] {
    TORCH_CHECK(gradient->sizes() == variable->sizes() && gradient->scalar_type() == variable->scalar_type() &&
                    gradient->device() == variable->device(),
                "the gradient does not fit its variable");
    *out = marft::give(GivenGradient::apply(*variable, *gradient, value));
  });
}

}  // extern "C"
