// A linear layer with adapters chosen per run of rows, as one node of the graph.
//
// A frozen weight costs no gradient and nothing of its size is kept. The gradient of the input is one product with the
// weight, to which each run adds its low-rank part in place. Gradients of the masters come out in f32.
#include "lora.h"

using marft::guarded;
using marft::Handle;
using marft::Segment;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

struct Products {
  at::Tensor out;
  std::vector<at::Tensor> low;
};

Products forward_of(const at::Tensor& x, const at::Tensor& low_x, const at::Tensor& weight,
                    const std::optional<at::Tensor>& bias, const std::vector<Segment>& segments) {
  Products made{at::linear(x, weight, bias), {}};
  const auto& source = low_x.defined() ? low_x : x;
  for (const auto& s : segments)
    made.low.push_back(s.add(source.narrow(0, s.start, s.length), made.out.narrow(0, s.start, s.length)));
  return made;
}

// Inputs: x, the rows the low-rank part reads (none: x), weight, bias, then masters a and b of each segment.
struct LoraLinear : Function<LoraLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& separate,
                            const at::Tensor& weight, const std::optional<at::Tensor>& bias, at::TensorList masters,
                            const std::vector<Segment>& segments) {
    const at::Tensor low_x = separate.value_or(at::Tensor());
    auto made = forward_of(x, low_x, weight, bias, segments);
    context->saved_data["biased"] = bias.has_value();
    variable_list saved = marft::copies_of(segments);
    saved.insert(saved.end(), made.low.begin(), made.low.end());
    saved.insert(saved.end(), {x, low_x, weight});
    context->save_for_backward(saved);
    marft::keep(context, segments);
    return made.out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto segments = marft::kept(context, saved);
    const size_t count = segments.size();
    const at::Tensor &x = saved[3 * count], &low_x = saved[3 * count + 1], &weight = saved[3 * count + 2];
    auto grad = grads[0].contiguous();

    // Inputs that are not there have no number.
    const size_t number_of_weight = low_x.defined() ? 2 : 1;
    const bool biased = context->saved_data["biased"].toBool();
    at::Tensor dx, dlow_x, dweight, dbias;
    if (context->needs_input_grad(0)) dx = at::mm(grad, weight);
    if (low_x.defined() && context->needs_input_grad(1)) dlow_x = at::zeros_like(low_x);
    if (context->needs_input_grad(number_of_weight)) dweight = at::mm(grad.t(), x);
    if (biased && context->needs_input_grad(number_of_weight + 1)) dbias = grad.sum(0);

    variable_list result = {dx, dlow_x, dweight, dbias};
    const auto& source = low_x.defined() ? low_x : x;
    const auto& into = low_x.defined() ? dlow_x : dx;
    for (size_t i = 0; i < count; ++i) {
      const auto& s = segments[i];
      auto made = s.back(source.narrow(0, s.start, s.length), saved[2 * count + i], grad.narrow(0, s.start, s.length),
                         into.defined() ? into.narrow(0, s.start, s.length) : at::Tensor());
      result.insert(result.end(), {made.a, made.b});
    }
    result.emplace_back();
    return result;
  }
};

}  // namespace

extern "C" int marft_lora_linear(Handle x, Handle low_x, Handle weight, Handle bias, const MarftSegment* segments,
                                 size_t count, Handle* out) {
  return guarded([&] {
    TORCH_CHECK(x->dim() == 2 && weight->dim() == 2 && x->size(1) == weight->size(1),
                "rows of a linear layer are [n, ", weight->size(-1), "]");
    TORCH_CHECK(x->scalar_type() == weight->scalar_type(), "rows and weight differ in type");
    TORCH_CHECK(!low_x || low_x->sizes() == x->sizes(), "the low-rank part reads rows of the same shape");
    marft::check_segments(segments, count, *x, weight->size(0));
    const auto parts = marft::segments_of(segments, count);
    const auto masters = marft::masters_of(segments, count);
    auto rows = x->contiguous();
    const at::Tensor low = marft::optional(low_x);
    const auto none = std::optional<at::Tensor>();
    const auto separate = low_x ? std::optional<at::Tensor>(low) : none, added = bias ? std::optional<at::Tensor>(*bias) : none;
    if (marft::any_requires_grad(masters) || marft::any_requires_grad({rows, low, *weight, marft::optional(bias)}))
      *out = marft::give(LoraLinear::apply(rows, separate, *weight, added, at::TensorList(masters), parts));
    else
      *out = marft::give(forward_of(rows, low, *weight, added, parts).out);
  });
}
