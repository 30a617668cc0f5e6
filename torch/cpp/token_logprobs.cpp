// Log-probability of one token and entropy per row, straight from hidden rows and the output head.
//
// The logits exist for a chunk of rows at a time and in the compute type only; the backward pass makes them again and turns
// them into their own gradient in place. So memory is chunk · vocabulary, whatever the number of rows.
#include <ATen/Parallel.h>

#include "lora.h"
#include "rows.h"

using marft::guarded;
using marft::Handle;
using marft::Segment;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

struct Head {
  at::Tensor weight;
  std::vector<Segment> segments;
  double inverse_temperature;
  int64_t chunk;
};

bool has_kernel(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

const marft::RowKernels& kernels(const at::Tensor& x) {
  static const marft::RowKernels table[2] = {marft::row_kernels(false), marft::row_kernels(true)};
  return table[x.scalar_type() == at::kBFloat16];
}

// Calls body(first row, rows, segment or null) for chunks that do not cross the border of a segment.
template <class Body>
void each_chunk(const Head& head, int64_t rows, Body&& body) {
  auto cut = [&](int64_t begin, int64_t end, const Segment* segment, size_t index) {
    for (int64_t at = begin; at < end; at += head.chunk) body(at, std::min(head.chunk, end - at), segment, index);
  };
  int64_t done = 0;
  for (size_t i = 0; i < head.segments.size(); ++i) {
    const auto& s = head.segments[i];
    cut(done, s.start, nullptr, 0);
    cut(s.start, s.start + s.length, &s, i);
    done = s.start + s.length;
  }
  cut(done, rows, nullptr, 0);
}

struct Logits {
  at::Tensor values, low;
};

Logits logits_of(const Head& head, const at::Tensor& hidden, const Segment* segment) {
  Logits made{at::linear(hidden, head.weight), {}};
  if (segment) made.low = segment->add(hidden, made.values);
  return made;
}

struct Statistics {
  at::Tensor logp, entropy, normaliser;
};

Statistics forward_of(const Head& head, const at::Tensor& hidden, const at::Tensor& targets) {
  auto options = hidden.options().dtype(at::kFloat);
  const int64_t rows = hidden.size(0);
  Statistics made{at::empty({rows}, options), at::empty({rows}, options), at::empty({rows}, options)};
  each_chunk(head, rows, [&](int64_t first, int64_t count, const Segment* segment, size_t) {
    auto logits = logits_of(head, hidden.narrow(0, first, count), segment).values;
    auto target = targets.narrow(0, first, count);
    if (!has_kernel(logits)) {
      auto log_p = at::log_softmax(logits.to(at::kFloat) * head.inverse_temperature, -1);
      made.logp.narrow(0, first, count).copy_(log_p.gather(1, target.unsqueeze(1)).squeeze(1));
      made.entropy.narrow(0, first, count).copy_(-(log_p.exp() * log_p).nan_to_num(0.0).sum(-1));
      return;
    }
    marft::Vocab arguments{logits.const_data_ptr(), target.const_data_ptr<int64_t>(),
                           made.logp.mutable_data_ptr<float>() + first, made.entropy.mutable_data_ptr<float>() + first,
                           made.normaliser.mutable_data_ptr<float>() + first, logits.size(1),
                           static_cast<float>(head.inverse_temperature)};
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) { kernels(logits).vocab(arguments, begin, end); });
  });
  return made;
}

// The gradient of a chunk of logits, in their place where a kernel can.
at::Tensor back_of(const Head& head, at::Tensor logits, const at::Tensor& target, const at::Tensor& grad_logp,
                   const at::Tensor& grad_entropy, const at::Tensor& entropy, const at::Tensor& normaliser) {
  if (!has_kernel(logits)) {
    auto log_p = at::log_softmax(logits.to(at::kFloat) * head.inverse_temperature, -1), p = log_p.exp();
    auto grad = -p * (grad_logp.unsqueeze(1) +
                      grad_entropy.unsqueeze(1) * at::where(p > 0, log_p + entropy.unsqueeze(1), at::zeros_like(p)));
    grad.scatter_add_(1, target.unsqueeze(1), grad_logp.unsqueeze(1));
    return (grad * head.inverse_temperature).to(logits.scalar_type());
  }
  marft::VocabBack arguments{logits.mutable_data_ptr(), target.const_data_ptr<int64_t>(),
                             entropy.const_data_ptr<float>(), normaliser.const_data_ptr<float>(),
                             grad_logp.const_data_ptr<float>(), grad_entropy.const_data_ptr<float>(), logits.size(1),
                             static_cast<float>(head.inverse_temperature)};
  at::parallel_for(0, logits.size(0), 1,
                   [&](int64_t begin, int64_t end) { kernels(logits).vocab_back(arguments, begin, end); });
  return logits;
}

// Inputs: hidden, weight, then masters a and b of each segment.
struct TokenLogprobs : Function<TokenLogprobs> {
  static variable_list forward(AutogradContext* context, const at::Tensor& hidden, const at::Tensor& weight,
                               at::TensorList masters, const at::Tensor& targets, const Head& head) {
    auto made = forward_of(head, hidden, targets);
    variable_list saved = marft::copies_of(head.segments);
    saved.insert(saved.end(), {hidden, weight, targets, made.entropy, made.normaliser});
    context->save_for_backward(saved);
    marft::keep(context, head.segments);
    context->saved_data["inverse_temperature"] = head.inverse_temperature;
    context->saved_data["chunk"] = head.chunk;
    return {made.logp, made.entropy};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    auto segments = marft::kept(context, saved);
    const size_t at = 2 * segments.size();
    const at::Tensor &hidden = saved[at], &weight = saved[at + 1], &targets = saved[at + 2], &entropy = saved[at + 3],
                     &normaliser = saved[at + 4];
    Head head{weight, segments, context->saved_data["inverse_temperature"].toDouble(),
              context->saved_data["chunk"].toInt()};
    auto grad_logp = grads[0].contiguous().to(at::kFloat), grad_entropy = grads[1].contiguous().to(at::kFloat);

    at::Tensor dhidden, dweight;
    if (context->needs_input_grad(0)) dhidden = at::empty_like(hidden);
    if (context->needs_input_grad(1)) dweight = at::zeros_like(weight, weight.options().dtype(at::kFloat));
    std::vector<Segment::Grads> masters(segments.size());
    each_chunk(head, hidden.size(0), [&](int64_t first, int64_t count, const Segment* segment, size_t index) {
      auto rows = [&](const at::Tensor& t) { return t.narrow(0, first, count); };
      auto made = logits_of(head, rows(hidden), segment);
      auto grad = back_of(head, made.values, rows(targets), rows(grad_logp), rows(grad_entropy), rows(entropy),
                          rows(normaliser));
      at::Tensor input;
      if (dhidden.defined()) {
        input = rows(dhidden);
        at::mm_out(input, grad, weight);
      }
      if (dweight.defined()) dweight.add_(at::mm(grad.t(), rows(hidden)));
      if (!segment) return;
      auto more = segment->back(rows(hidden), made.low, grad, input);
      auto& sum = masters[index];
      sum.a = sum.a.defined() ? sum.a.add_(more.a) : more.a;
      sum.b = sum.b.defined() ? sum.b.add_(more.b) : more.b;
    });
    variable_list result = {dhidden, dweight.defined() ? dweight.to(weight.scalar_type()) : dweight};
    for (auto& sum : masters) result.insert(result.end(), {sum.a, sum.b});
    result.insert(result.end(), 2, at::Tensor());
    return result;
  }
};

}  // namespace

extern "C" int marft_token_logprobs(Handle hidden, Handle weight, Handle targets, const MarftSegment* segments,
                                    size_t count, double inverse_temperature, int64_t chunk, Handle* logp,
                                    Handle* entropy) {
  return guarded([&] {
    TORCH_CHECK(hidden->dim() == 2 && weight->dim() == 2 && hidden->size(1) == weight->size(1) &&
                    hidden->scalar_type() == weight->scalar_type(),
                "hidden rows [n, h] and head [vocabulary, h] must agree in width and type");
    TORCH_CHECK(targets->dim() == 1 && targets->size(0) == hidden->size(0) && targets->scalar_type() == at::kLong,
                "one i64 target a row");
    TORCH_CHECK(inverse_temperature > 0 && chunk > 0, "temperature and chunk must be positive");
    if (targets->numel() > 0) {
      auto [least, most] = at::aminmax(*targets);
      TORCH_CHECK(least.item<int64_t>() >= 0 && most.item<int64_t>() < weight->size(0),
                  "a target lies outside of the vocabulary of ", weight->size(0));
    }
    marft::check_segments(segments, count, *hidden, weight->size(0));
    auto rows = hidden->contiguous(), wanted = targets->contiguous();
    const auto masters = marft::masters_of(segments, count);
    Head head{*weight, marft::segments_of(segments, count), inverse_temperature, chunk};
    if (marft::any_requires_grad(masters) || marft::any_requires_grad({rows, *weight})) {
      auto made = TokenLogprobs::apply(rows, *weight, at::TensorList(masters), wanted, head);
      *logp = marft::give(made[0]);
      *entropy = marft::give(made[1]);
    } else {
      auto made = forward_of(head, rows, wanted);
      *logp = marft::give(made.logp);
      *entropy = marft::give(made.entropy);
    }
  });
}
