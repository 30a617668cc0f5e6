// Attention inside each of several sequences whose rows lie one after another, with its gradient.
//
// A plain way through the framework's graph would cut and join the rows of every sequence by nodes of their own, each with
// a gradient of the size of the whole pack. Here the pack is one node; inside, every sequence is a call of the flash kernel
// on views, in which the queries that share a key head see it through a stride of zero.
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/custom_function.h>

#include "guard.h"

using marft::guarded;
using marft::Handle;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

struct Pack {
  std::vector<int64_t> lengths;
  std::vector<at::Tensor> masks;  // per sequence; undefined: causal
  double scale;
};

// Rows [t, heads, d] → [kv_heads, heads / kv_heads, t, d].
at::Tensor grouped(const at::Tensor& rows, int64_t groups) {
  return rows.unflatten(1, {groups, rows.size(1) / groups}).permute({1, 2, 0, 3});
}
// Rows [t, kv_heads, d] → the same for each query of a group, without a copy.
at::Tensor shared(const at::Tensor& rows, int64_t queries) {
  return rows.permute({1, 0, 2}).unsqueeze(1).expand({-1, queries, -1, -1});
}

template <class Body>
void each_sequence(const Pack& pack, Body&& body) {
  int64_t first = 0;
  for (size_t i = 0; i < pack.lengths.size(); ++i) {
    const auto& mask = pack.masks[i];
    body(i, first, pack.lengths[i], mask.defined() ? std::optional<at::Tensor>(mask) : std::nullopt);
    first += pack.lengths[i];
  }
}

struct Mixed {
  at::Tensor out;
  std::vector<at::Tensor> normalisers;
};

Mixed forward_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Pack& pack) {
  const int64_t kv = k.size(1), share = q.size(1) / kv;
  Mixed made{at::empty_like(q), {}};
  each_sequence(pack, [&](size_t, int64_t first, int64_t length, const std::optional<at::Tensor>& mask) {
    auto part = [&](const at::Tensor& t) { return t.narrow(0, first, length); };
    auto [out, normaliser] = at::_scaled_dot_product_flash_attention_for_cpu(
        grouped(part(q), kv), shared(part(k), share), shared(part(v), share), 0.0, !mask, mask, pack.scale);
    grouped(part(made.out), kv).copy_(out);
    made.normalisers.push_back(normaliser);
  });
  return made;
}

struct PackedAttention : Function<PackedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const Pack& pack) {
    auto made = forward_of(q, k, v, pack);
    variable_list saved = {q, k, v, made.out};
    saved.insert(saved.end(), made.normalisers.begin(), made.normalisers.end());
    saved.insert(saved.end(), pack.masks.begin(), pack.masks.end());
    context->save_for_backward(saved);
    context->saved_data["lengths"] = pack.lengths;
    context->saved_data["scale"] = pack.scale;
    return made.out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &out = saved[3];
    Pack pack{context->saved_data["lengths"].toIntVector(), {}, context->saved_data["scale"].toDouble()};
    const size_t count = pack.lengths.size();
    pack.masks.assign(saved.begin() + 4 + static_cast<int64_t>(count), saved.end());
    const int64_t kv = k.size(1), share = q.size(1) / kv;
    auto grad = grads[0].contiguous();
    auto dq = at::empty_like(q), dk = at::empty_like(k), dv = at::empty_like(v);
    each_sequence(pack, [&](size_t i, int64_t first, int64_t length, const std::optional<at::Tensor>& mask) {
      auto part = [&](const at::Tensor& t) { return t.narrow(0, first, length); };
      auto [gq, gk, gv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
          grouped(part(grad), kv), grouped(part(q), kv), shared(part(k), share), shared(part(v), share),
          grouped(part(out), kv), saved[4 + i], 0.0, !mask, mask, pack.scale);
      grouped(part(dq), kv).copy_(gq);
      part(dk).copy_(gk.sum(1).permute({1, 0, 2}));
      part(dv).copy_(gv.sum(1).permute({1, 0, 2}));
    });
    return {dq, dk, dv, at::Tensor()};
  }
};

// The same by the framework's own operations, for other devices.
at::Tensor plain(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Pack& pack) {
  auto qs = q.split_with_sizes(pack.lengths, 0), ks = k.split_with_sizes(pack.lengths, 0),
       vs = v.split_with_sizes(pack.lengths, 0);
  std::vector<at::Tensor> parts;
  each_sequence(pack, [&](size_t i, int64_t, int64_t, const std::optional<at::Tensor>& mask) {
    auto heads = [](const at::Tensor& t) { return t.transpose(0, 1).unsqueeze(0); };
    parts.push_back(at::scaled_dot_product_attention(heads(qs[i]), heads(ks[i]), heads(vs[i]), mask, 0.0, !mask,
                                                     pack.scale, q.size(1) != k.size(1))
                        .squeeze(0)
                        .transpose(0, 1));
  });
  return at::cat(parts, 0);
}

}  // namespace

// q [n, heads, d], k and v [n, kv_heads, d]; masks[i] is null or [t, t] in the type of q, added to the scores.
extern "C" int marft_packed_attention(Handle q, Handle k, Handle v, const int64_t* lengths, const Handle* masks,
                                      size_t count, double scale, Handle* out) {
  return guarded([&] {
    TORCH_CHECK(q->dim() == 3 && k->dim() == 3 && k->sizes() == v->sizes() && q->size(0) == k->size(0) &&
                    q->size(2) == k->size(2) && k->size(1) > 0 && q->size(1) % k->size(1) == 0,
                "queries [n, heads, d] and keys [n, kv_heads, d] do not fit: ", q->sizes(), " and ", k->sizes());
    Pack pack{{lengths, lengths + count}, {}, scale};
    int64_t rows = 0;
    for (size_t i = 0; i < count; ++i) {
      TORCH_CHECK(lengths[i] > 0, "an empty sequence");
      rows += lengths[i];
      pack.masks.push_back(marft::optional(masks[i]));
      TORCH_CHECK(!masks[i] || (masks[i]->sizes() == at::IntArrayRef({lengths[i], lengths[i]}) &&
                                masks[i]->scalar_type() == q->scalar_type()),
                  "a mask is [t, t] in the type of the queries");
    }
    TORCH_CHECK(rows == q->size(0), "the lengths of the sequences add up to ", rows, ", not ", q->size(0));
    if (!q->device().is_cpu()) {
      *out = marft::give(plain(*q, *k, *v, pack));
      return;
    }
    auto query = q->contiguous(), key = k->contiguous(), value = v->contiguous();
    const bool records = c10::GradMode::is_enabled() && (q->requires_grad() || k->requires_grad() || v->requires_grad());
    *out = marft::give(records ? PackedAttention::apply(query, key, value, pack)
                               : forward_of(query, key, value, pack).out);
  });
}
