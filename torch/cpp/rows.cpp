// Row-wise parts of a transformer as one pass over memory each, with their gradients: RMS norm, gated activation, rotation.
//
// On the CPU in f32 or bf16 they run the kernels of rows.inc, elsewhere a few plain operations. A row's result depends on
// that row alone. Nothing is recorded where no gradient is asked for.
#include "rows.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guard.h"

using marft::Handle;
using marft::guarded;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

bool has_kernel(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

bool records(std::initializer_list<at::Tensor> inputs) {
  if (!c10::GradMode::is_enabled()) return false;
  for (const auto& input : inputs)
    if (input.defined() && input.requires_grad()) return true;
  return false;
}

const marft::RowKernels& kernels(const at::Tensor& x) {
  static const marft::RowKernels table[2] = {marft::row_kernels(false), marft::row_kernels(true)};
  return table[x.scalar_type() == at::kBFloat16];
}

template <class Arguments>
void run(void (*kernel)(const Arguments&, int64_t, int64_t), const Arguments& arguments, int64_t rows, int64_t width) {
  const int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width));
  at::parallel_for(0, rows, grain, [&](int64_t begin, int64_t end) { kernel(arguments, begin, end); });
}

at::Tensor defined_or_zeros(const at::Tensor& grad, const at::Tensor& like) {
  return grad.defined() ? grad.contiguous() : at::zeros_like(like, at::MemoryFormat::Contiguous);
}

// ---- RMS norm ----------------------------------------------------------------------------------------------------------

struct NormOutput {
  at::Tensor sum, out, scales;
};

NormOutput norm(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps, bool keep_scales) {
  const int64_t width = x.size(-1), rows = x.numel() / std::max<int64_t>(1, width);
  NormOutput made{delta.defined() ? at::empty_like(x) : x, at::empty_like(x), at::Tensor()};
  if (keep_scales) made.scales = at::empty({rows}, x.options().dtype(at::kFloat));
  marft::Norm arguments{x.const_data_ptr(),
                        delta.defined() ? delta.const_data_ptr() : nullptr,
                        weight.const_data_ptr<float>(),
                        delta.defined() ? made.sum.mutable_data_ptr() : nullptr,
                        made.out.mutable_data_ptr(),
                        keep_scales ? made.scales.mutable_data_ptr<float>() : nullptr,
                        width,
                        weight.numel() / std::max<int64_t>(1, width),
                        static_cast<float>(eps)};
  run(kernels(x).norm, arguments, rows, width);
  return made;
}

at::Tensor plain_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  auto wide = x.to(at::kFloat);
  return (wide * (wide.square().mean(-1, true) + eps).rsqrt() * weight).to(x.scalar_type());
}

// (x, delta or undefined, weight) → (out, sum = x + delta)
struct RmsNorm : Function<RmsNorm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& delta,
                               const at::Tensor& weight, double eps) {
    auto made = norm(x, delta.value_or(at::Tensor()), weight, eps, true);
    context->save_for_backward({made.sum, weight, made.scales});
    context->saved_data["added"] = delta.has_value();
    context->set_materialize_grads(false);
    if (!delta) return {made.out};
    return {made.out, made.sum};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &sum = saved[0], &weight = saved[1], &scales = saved[2];
    const bool added = context->saved_data["added"].toBool();
    at::Tensor through = added && grads[1].defined() ? grads[1].contiguous() : at::Tensor(), input = through, weighted;
    if (grads[0].defined()) {
      const int64_t width = sum.size(-1), rows = sum.numel() / std::max<int64_t>(1, width);
      auto grad = grads[0].contiguous();
      input = at::empty_like(sum);
      marft::NormBack arguments{sum.const_data_ptr(),
                                grad.const_data_ptr(),
                                through.defined() ? through.const_data_ptr() : nullptr,
                                weight.const_data_ptr<float>(),
                                scales.const_data_ptr<float>(),
                                input.mutable_data_ptr(),
                                width,
                                weight.numel() / std::max<int64_t>(1, width)};
      run(kernels(sum).norm_back, arguments, rows, width);
      if (context->needs_input_grad(added ? 2 : 1)) {
        auto normed = sum.to(at::kFloat).view({rows, width}) * scales.unsqueeze(1);
        weighted = (normed * grad.to(at::kFloat).view({rows, width}))
                       .view({-1, weight.numel() / std::max<int64_t>(1, width), width})
                       .sum(0)
                       .view_as(weight);
      }
    }
    return {input, added ? input : at::Tensor(), weighted, at::Tensor()};
  }
};

// ---- gated activation --------------------------------------------------------------------------------------------------

at::Tensor gate(const at::Tensor& gate_up, const at::Tensor& grad, bool gelu) {
  const int64_t width = gate_up.size(1) / 2;
  auto out = at::empty({gate_up.size(0), grad.defined() ? 2 * width : width}, gate_up.options());
  marft::Gate arguments{gate_up.const_data_ptr(), grad.defined() ? grad.const_data_ptr() : nullptr,
                        out.mutable_data_ptr(), width, gelu};
  run(kernels(gate_up).gate, arguments, gate_up.size(0), 8 * width);
  return out;
}

struct Gated : Function<Gated> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& gate_up, bool gelu) {
    context->save_for_backward({gate_up});
    context->saved_data["gelu"] = gelu;
    return gate(gate_up, {}, gelu);
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    return {gate(context->get_saved_variables()[0], grads[0].contiguous(), context->saved_data["gelu"].toBool()),
            at::Tensor()};
  }
};

// ---- rotation ----------------------------------------------------------------------------------------------------------

// Rotates all heads of `x` [n, heads, d] into those of `out`; both may be views with dense heads.
void rotate(const at::Tensor& x, const at::Tensor& out, const at::Tensor& cos, const at::Tensor& sin, float sign) {
  marft::Rotate arguments{x.const_data_ptr(), out.mutable_data_ptr(), cos.const_data_ptr<float>(),
                          sin.const_data_ptr<float>(), x.stride(0), x.stride(1), out.stride(0), out.stride(1),
                          x.size(1), x.size(2) / 2, sign};
  run(kernels(x).rotate, arguments, x.size(0), x.size(1) * x.size(2));
}

at::Tensor plain_rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  auto halves = x.to(at::kFloat).chunk(2, -1);
  auto c = cos.unsqueeze(1), s = sin.unsqueeze(1);
  return at::cat({halves[0] * c - halves[1] * s, halves[1] * c + halves[0] * s}, -1).to(x.scalar_type());
}

// heads [n, q + k + v, d] → rotated q and k, and v as it is, each dense.
struct SplitRotate : Function<SplitRotate> {
  static variable_list forward(AutogradContext* context, const at::Tensor& heads, const at::Tensor& cos,
                               const at::Tensor& sin, int64_t queries, int64_t keys) {
    context->save_for_backward({cos, sin});
    context->saved_data["shape"] = heads.sizes().vec();
    context->set_materialize_grads(false);
    return parts(heads, cos, sin, queries, keys);
  }
  static variable_list parts(const at::Tensor& heads, const at::Tensor& cos, const at::Tensor& sin, int64_t queries,
                             int64_t keys) {
    const int64_t n = heads.size(0), d = heads.size(2), values = heads.size(1) - queries - keys;
    auto q = at::empty({n, queries, d}, heads.options()), k = at::empty({n, keys, d}, heads.options());
    rotate(heads.narrow(1, 0, queries), q, cos, sin, 1);
    rotate(heads.narrow(1, queries, keys), k, cos, sin, 1);
    return {q, k, heads.narrow(1, queries + keys, values).contiguous()};
  }
  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const auto shape = context->saved_data["shape"].toIntVector();
    at::Tensor some = grads[0].defined() ? grads[0] : grads[1].defined() ? grads[1] : grads[2];
    auto out = at::empty(shape, some.options());
    int64_t start = 0;
    for (int part = 0; part < 3; ++part) {
      const int64_t count = part == 2                  ? shape[1] - start
                            : grads[part].defined() ? grads[part].size(1)
                                                       : -1;
      TORCH_CHECK(count >= 0, "query and key of a rotation both need a gradient, or neither");
      auto slot = out.narrow(1, start, count);
      if (!grads[part].defined()) slot.zero_();
      else if (part == 2) slot.copy_(grads[part]);
      else rotate(grads[part].contiguous(), slot, saved[0], saved[1], -1);
      start += count;
    }
    return {out, at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

void check_angles(const at::Tensor& heads, const at::Tensor& cos, const at::Tensor& sin) {
  TORCH_CHECK(heads.dim() == 3 && heads.size(2) % 2 == 0 && (heads.size(2) == 0 || heads.stride(2) == 1),
              "heads to rotate are [n, heads, d] with an even, dense d");
  for (const auto* angle : {&cos, &sin})
    TORCH_CHECK(angle->dim() == 2 && angle->size(0) == heads.size(0) && angle->size(1) == heads.size(2) / 2 &&
                    angle->scalar_type() == at::kFloat && angle->is_contiguous() && angle->device() == heads.device(),
                "cosine and sine are dense f32 [n, d/2] beside the heads");
}

}  // namespace

extern "C" {

// delta and sum may be null: then out = norm(x); else sum = x + delta and out = norm(sum).
int marft_rms_norm(Handle x, Handle delta, Handle weight, double eps, Handle* out, Handle* sum) {
  return guarded([&] {
    TORCH_CHECK(weight->scalar_type() == at::kFloat && x->dim() > 0 && weight->dim() > 0 &&
                    weight->size(-1) == x->size(-1) && weight->device() == x->device() &&
                    (weight->dim() == 1 || (x->dim() == weight->dim() + 1 && weight->sizes() == x->sizes().slice(1))),
                "the weight of a norm is f32 of the shape of a row");
    TORCH_CHECK(!delta || (delta->sizes() == x->sizes() && delta->scalar_type() == x->scalar_type() &&
                           delta->device() == x->device()),
                "x and delta differ in shape or type");
    const at::Tensor added = marft::optional(delta);
    if (!has_kernel(*x)) {
      auto total = delta ? *x + added : *x;
      *out = marft::give(plain_norm(total, *weight, eps));
      if (sum) *sum = marft::give(total);
      return;
    }
    auto dense = x->contiguous(), dense_added = delta ? added.contiguous() : added, w = weight->contiguous();
    if (records({dense, dense_added, w})) {
      auto made = RmsNorm::apply(dense, delta ? std::optional<at::Tensor>(dense_added) : std::nullopt, w, eps);
      *out = marft::give(made[0]);
      if (sum) *sum = marft::give(delta ? made[1] : *x);
    } else {
      auto made = norm(dense, dense_added, w, eps, false);
      *out = marft::give(made.out);
      if (sum) *sum = marft::give(made.sum);
    }
  });
}

int marft_gated(Handle gate_up, int gelu, Handle* out) {
  return guarded([&] {
    TORCH_CHECK(gate_up->dim() == 2 && gate_up->size(1) % 2 == 0, "gate and up lie side by side in rows");
    if (!has_kernel(*gate_up)) {
      auto halves = gate_up->chunk(2, 1);
      *out = marft::give((gelu ? at::gelu(halves[0], "tanh") : at::silu(halves[0])) * halves[1]);
      return;
    }
    auto dense = gate_up->contiguous();
    *out = marft::give(records({dense}) ? Gated::apply(dense, gelu != 0) : gate(dense, {}, gelu != 0));
  });
}

int marft_split_rotate(Handle heads, Handle cos, Handle sin, int64_t queries, int64_t keys, Handle* q, Handle* k,
                       Handle* v) {
  return guarded([&] {
    check_angles(*heads, *cos, *sin);
    TORCH_CHECK(queries >= 0 && keys >= 0 && queries + keys <= heads->size(1), "more heads to rotate than there are");
    variable_list parts;
    if (!has_kernel(*heads)) {
      parts = heads->split_with_sizes({queries, keys, heads->size(1) - queries - keys}, 1);
      for (int i = 0; i < 2; ++i) parts[i] = plain_rotate(parts[i], *cos, *sin);
    } else if (records({*heads})) {
      parts = SplitRotate::apply(*heads, *cos, *sin, queries, keys);
    } else {
      parts = SplitRotate::parts(*heads, *cos, *sin, queries, keys);
    }
    *q = marft::give(parts[0]);
    *k = marft::give(parts[1]);
    *v = marft::give(parts[2]);
  });
}

// Rotates in place, without a gradient.
int marft_rotate_(Handle heads, Handle cos, Handle sin) {
  return guarded([&] {
    check_angles(*heads, *cos, *sin);
    TORCH_CHECK(!heads->requires_grad() || !c10::GradMode::is_enabled(), "an in-place rotation records no gradient");
    if (has_kernel(*heads)) rotate(*heads, *heads, *cos, *sin, 1);
    else heads->copy_(plain_rotate(*heads, *cos, *sin));
  });
}

}  // extern "C"
