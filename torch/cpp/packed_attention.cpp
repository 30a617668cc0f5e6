// Attention inside each of several sequences whose rows lie one after another, with its gradient.
//
// A plain way through the framework's graph would cut and join the rows of every sequence by nodes of their own, and
// libtorch's flash kernel multiplies tiles of 32 rows by calls that cost more than the products. Here the pack is one node.
// A job is one key head of one sequence with the queries that share it: keys and values are laid out once, as floats; tiles of
// TILE queries are scored against all keys they may see. What is kept for the way back is the logarithm of each row's
// normaliser; weights are computed again. Jobs share nothing, so a row's result depends on its own sequence only.
#include <ATen/Parallel.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>

#include "guard.h"

using marft::guarded;
using marft::Handle;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

namespace {

constexpr int64_t TILE = 16;

struct Sequence {
  int64_t first, rows, window;
  const uint16_t* seen;  // [rows, words]: bit b of word w of a row says whether it sees key 16 w + b; null: the last `window`
};

struct Rows {
  void* data;
  int64_t stride;
};

struct Work {
  Rows q, k, v, out, grad, dq, dk, dv;  // with `grad` the gradients are made, else `out`
  float* normaliser;                    // [heads, rows]
  int64_t rows, heads, kv_heads, dim, padded;
  float scale;
  bool narrow;  // bfloat16 instead of float
};

#define MARFT_KERNEL "packed_attention.inc"
#include "instruction_sets.inc"

struct Pack {
  std::vector<int64_t> lengths;
  variable_list seen;  // per sequence; undefined: causal
  int64_t window;
  double scale;
};

Rows rows_of(const at::Tensor& t) { return {t.data_ptr(), t.stride(0)}; }

Work work_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& normaliser, const Pack& pack) {
  Work work{};
  work.q = rows_of(q), work.k = rows_of(k), work.v = rows_of(v);
  work.normaliser = normaliser.data_ptr<float>();
  work.rows = q.size(0), work.heads = q.size(1), work.kv_heads = k.size(1), work.dim = q.size(2);
  work.padded = (work.dim + 15) / 16 * 16;
  work.scale = static_cast<float>(pack.scale);
  work.narrow = q.scalar_type() == at::kBFloat16;
  return work;
}

void run(const Work& work, const Pack& pack) {
  static const auto attend_best = MARFT_CHOOSE(attend);
  std::vector<Sequence> sequences;
  int64_t first = 0, longest = 0;
  for (size_t i = 0; i < pack.lengths.size(); ++i) {
    const auto& seen = pack.seen[i];
    sequences.push_back({first, pack.lengths[i], pack.window,
                         seen.defined() ? reinterpret_cast<const uint16_t*>(seen.const_data_ptr<int16_t>()) : nullptr});
    first += pack.lengths[i];
    longest = std::max(longest, (pack.lengths[i] + 15) / 16 * 16);
  }
  const int64_t count = static_cast<int64_t>(sequences.size()), jobs = count * work.kv_heads;
  std::atomic<int64_t> next{0};
  at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), jobs), 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(5 * longest * work.padded + 3 * TILE * work.padded + 2 * TILE * longest);
    for (int64_t worker = begin; worker < end; ++worker)
      for (int64_t job; (job = next++) < jobs;)
        attend_best(work, sequences[job % count], job / count, scratch.data());
  });
}

at::Tensor forward_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& normaliser,
                      const Pack& pack) {
  auto out = at::empty(q.sizes(), q.options());
  Work work = work_of(q, k, v, normaliser, pack);
  work.out = rows_of(out);
  run(work, pack);
  return out;
}

struct PackedAttention : Function<PackedAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& normaliser, const Pack& pack) {
    variable_list saved = {q, k, v, normaliser};
    saved.insert(saved.end(), pack.seen.begin(), pack.seen.end());
    context->save_for_backward(saved);
    context->saved_data["lengths"] = pack.lengths;
    context->saved_data["window"] = pack.window;
    context->saved_data["scale"] = pack.scale;
    return forward_of(q, k, v, normaliser, pack);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    const Pack pack{context->saved_data["lengths"].toIntVector(), {saved.begin() + 4, saved.end()},
                    context->saved_data["window"].toInt(), context->saved_data["scale"].toDouble()};
    const auto grad = grads[0].contiguous();
    auto like = [](const at::Tensor& t) { return at::empty(t.sizes(), t.options()); };
    auto dq = like(q), dk = like(k), dv = like(v);
    Work work = work_of(q, k, v, saved[3], pack);
    work.grad = rows_of(grad), work.dq = rows_of(dq), work.dk = rows_of(dk), work.dv = rows_of(dv);
    run(work, pack);
    return {dq, dk, dv, at::Tensor(), at::Tensor()};
  }
};

void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const int64_t* lengths, size_t count) {
  TORCH_CHECK(q.dim() == 3 && k.dim() == 3 && k.sizes() == v.sizes() && q.size(0) == k.size(0) && q.size(2) == k.size(2) &&
                  k.size(1) > 0 && q.size(1) % k.size(1) == 0,
              "queries [n, heads, d] and keys [n, kv_heads, d] do not fit: ", q.sizes(), " and ", k.sizes());
  int64_t rows = 0;
  for (size_t i = 0; i < count; ++i) {
    TORCH_CHECK(lengths[i] > 0, "an empty sequence");
    rows += lengths[i];
  }
  TORCH_CHECK(rows == q.size(0), "the lengths of the sequences add up to ", rows, ", not ", q.size(0));
}

// The same memory where the heads of a row lie one after another, else a copy.
at::Tensor dense_rows(const at::Tensor& t) {
  return t.stride(2) == 1 && t.stride(1) == t.size(2) ? t : t.contiguous();
}

}  // namespace

extern "C" {

// On the CPU: q [n, heads, d], k and v [n, kv_heads, d]; seen[i] is null or int16 [t, (t + 15) / 16].
int marft_packed_attention(Handle q, Handle k, Handle v, const int64_t* lengths, const Handle* seen, size_t count,
                           int64_t window, double scale, Handle* out) {
  return guarded([&] {
    check_shapes(*q, *k, *v, lengths, count);
    const auto kind = q->scalar_type();
    TORCH_CHECK((kind == at::kFloat || kind == at::kBFloat16) && k->scalar_type() == kind && v->scalar_type() == kind &&
                    q->device().is_cpu() && k->device().is_cpu() && v->device().is_cpu(),
                "queries, keys and values share one kind, float or bfloat16, on the CPU");
    TORCH_CHECK(window > 0, "a window without a key");
    Pack pack{{lengths, lengths + count}, {}, window, scale};
    for (size_t i = 0; i < count; ++i) {
      pack.seen.push_back(marft::optional(seen[i]));
      const auto& bits = pack.seen[i];
      TORCH_CHECK(!bits.defined() || (bits.sizes() == at::IntArrayRef({lengths[i], (lengths[i] + 15) / 16}) &&
                                      bits.scalar_type() == at::kShort && bits.is_contiguous() && bits.device().is_cpu()),
                  "what the rows of a sequence see is int16 [t, (t + 15) / 16]");
    }
    const auto query = dense_rows(*q), key = dense_rows(*k), value = dense_rows(*v);
    const auto normaliser = at::empty({query.size(1), query.size(0)}, query.options().dtype(at::kFloat));
    const bool records = c10::GradMode::is_enabled() && (q->requires_grad() || k->requires_grad() || v->requires_grad());
    *out = marft::give(records ? PackedAttention::apply(query, key, value, normaliser, pack)
                               : forward_of(query, key, value, normaliser, pack));
  });
}

// By the framework's own operations, on any device; masks[i] is null (causal) or [t, t] in the type of q, added to the scores.
int marft_masked_attention(Handle q, Handle k, Handle v, const int64_t* lengths, const Handle* masks, size_t count,
                           double scale, Handle* out) {
  return guarded([&] {
    check_shapes(*q, *k, *v, lengths, count);
    const at::IntArrayRef sizes(lengths, count);
    const auto qs = q->split_with_sizes(sizes, 0), ks = k->split_with_sizes(sizes, 0), vs = v->split_with_sizes(sizes, 0);
    std::vector<at::Tensor> parts;
    for (size_t i = 0; i < count; ++i) {
      TORCH_CHECK(!masks[i] || (masks[i]->sizes() == at::IntArrayRef({lengths[i], lengths[i]}) &&
                                masks[i]->scalar_type() == q->scalar_type()),
                  "a mask is [t, t] in the type of the queries");
      const auto mask = masks[i] ? std::optional<at::Tensor>(*masks[i]) : std::nullopt;
      auto heads = [](const at::Tensor& t) { return t.transpose(0, 1).unsqueeze(0); };
      parts.push_back(at::scaled_dot_product_attention(heads(qs[i]), heads(ks[i]), heads(vs[i]), mask, 0.0, !mask, scale,
                                                       q->size(1) != k->size(1))
                          .squeeze(0)
                          .transpose(0, 1));
    }
    *out = marft::give(at::cat(parts, 0));
  });
}

}  // extern "C"
