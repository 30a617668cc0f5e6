// Attention of rows over a key-value cache in blocks, on the CPU: grouped queries, no repeated keys, no gathered copy.
//
// The cache of a layer holds blocks of BLOCK positions. Inside a block and a key-value head,
//   keys   are [padded / PAIR][BLOCK][PAIR]: a vector of 16 holds one feature (or pair of features) of all 16 positions,
//   values are [BLOCK / PAIR][padded][PAIR]: a vector of 16 holds one position (or pair of positions) of 16 features,
// with PAIR = 2 in bfloat16, so that its dot instruction reads both without a shuffle, and PAIR = 1 in float.
// `padded` is the head's width rounded up to 16.
//
// Order of arithmetic: a row's scores and sums run over its keys in spans of SPAN positions counted from position 0, so its
// result depends on its own query, position and cache only: not on the rows beside it, the chunk it was prefilled in, or the
// number of threads.
#include <ATen/Parallel.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <atomic>
#include <cstdint>
#include <cstring>
#include <vector>

#include "guard.h"

using marft::guarded;
using marft::Handle;

namespace {

constexpr int64_t BLOCK = 16;
constexpr int64_t SPAN = 128;
constexpr int64_t TILE_QUERIES = 24;

struct Query {
  int32_t from, to;  // the positions it sees, both ends included
  int64_t table;     // where its block table starts
};

struct Pass {
  const void *q, *key_cache, *value_cache;
  void* out;
  int64_t q_stride, heads, kv_heads, dim, padded;
  const Query* queries;
  const int32_t* tables;
  float scale;
};

struct Scratch {
  float *queries, *weights, *scores, *mixed, *peak, *total;
};

typedef void (*Attend)(const Pass&, bool, int64_t, int64_t, int64_t, Scratch&);

#define MARFT_WITH_BF16_DOT
#define MARFT_KERNEL "paged_attention.inc"
#include "instruction_sets.inc"

// Copies a key and a value [dim] of one head into their slot of its block.
template <class T>
void write_row(const T* k, const T* v, T* keys, T* values, int64_t slot, int64_t dim, int64_t padded) {
  constexpr int64_t PAIR = sizeof(T) == 2 ? 2 : 1;
  // What is not written yet is multiplied with a weight of zero: it must be a number. A block is filled from its start.
  if (slot == 0) {
    std::memset(keys, 0, BLOCK * padded * sizeof(T));
    std::memset(values, 0, BLOCK * padded * sizeof(T));
  }
  for (int64_t d = 0; d < dim; ++d) {
    keys[(d / PAIR * BLOCK + slot) * PAIR + d % PAIR] = k[d];
    values[(slot / PAIR * padded + d) * PAIR + slot % PAIR] = v[d];
  }
}

template <class T>
void write_rows(const Pass& pass, const at::Tensor& k, const at::Tensor& v, int64_t begin, int64_t end) {
  const T *keys = static_cast<const T*>(k.const_data_ptr()), *values = static_cast<const T*>(v.const_data_ptr());
  for (int64_t r = begin; r < end; ++r) {
    const int64_t position = pass.queries[r].to;
    const int64_t block = pass.tables[pass.queries[r].table + position / BLOCK];
    for (int64_t h = 0; h < pass.kv_heads; ++h) {
      const int64_t at = (block * pass.kv_heads + h) * BLOCK * pass.padded;
      write_row(keys + r * k.stride(0) + h * pass.dim, values + r * v.stride(0) + h * pass.dim,
                static_cast<T*>(const_cast<void*>(pass.key_cache)) + at,
                static_cast<T*>(const_cast<void*>(pass.value_cache)) + at, position % BLOCK, pass.dim, pass.padded);
    }
  }
}

bool rows_of_heads(const at::Tensor& x, int64_t rows, int64_t heads, int64_t dim) {
  return x.dim() == 3 && x.size(0) == rows && x.size(1) == heads && x.size(2) == dim &&
         (dim == 1 || x.stride(2) == 1) && (heads == 1 || x.stride(1) == dim);
}

}  // namespace

extern "C" {

int64_t marft_paged_block() { return BLOCK; }

// q [n, heads, d]; k, v [n, kv_heads, d], rotated, of the same kind (f32 or bf16) as the caches [blocks, kv_heads, 16·padded].
// tables [sequences, width] i32: which block holds which 16 positions; sequence [n] i32: whose row it is; position [n] i64.
// Rows of one sequence stand together in ascending position. Writes k and v into the cache, then out = attention [n, heads·d]
// over the positions of max(0, position − window + 1) ..= position (window 0: all).
int marft_paged_attention(Handle q, Handle k, Handle v, Handle key_cache, Handle value_cache, Handle tables, Handle sequence,
                          Handle position, int64_t window, double scale, Handle* out) {
  return guarded([&] {
    const auto kind = q->scalar_type();
    TORCH_CHECK(kind == at::kFloat || kind == at::kBFloat16, "paged attention computes in float or bfloat16");
    TORCH_CHECK(q->dim() == 3 && k->dim() == 3, "q and k are [rows, heads, width]");
    const int64_t rows = q->size(0), heads = q->size(1), dim = q->size(2), kv_heads = k->size(1);
    const int64_t padded = (dim + 15) / 16 * 16;
    TORCH_CHECK(kv_heads > 0 && heads % kv_heads == 0, "the query heads are a multiple of the key heads");
    TORCH_CHECK(rows_of_heads(*q, rows, heads, dim) && rows_of_heads(*k, rows, kv_heads, dim) &&
                    rows_of_heads(*v, rows, kv_heads, dim),
                "q, k and v lie densely in each row");
    for (const at::Tensor* t : {q, k, v, key_cache, value_cache})
      TORCH_CHECK(t->device().is_cpu() && t->scalar_type() == kind, "q, k, v and the cache share one kind, on the CPU");
    for (const at::Tensor* cache : {key_cache, value_cache})
      TORCH_CHECK(cache->dim() == 3 && cache->size(1) == kv_heads && cache->size(2) == BLOCK * padded && cache->is_contiguous(),
                  "a cache is [blocks, kv_heads, 16 * padded width]");
    TORCH_CHECK(key_cache->size(0) == value_cache->size(0), "both caches have the same blocks");
    TORCH_CHECK(tables->dim() == 2 && tables->scalar_type() == at::kInt && tables->is_contiguous(), "tables are [sequences, width] i32");
    TORCH_CHECK(sequence->numel() == rows && sequence->scalar_type() == at::kInt && sequence->is_contiguous(), "one sequence a row");
    TORCH_CHECK(position->numel() == rows && position->scalar_type() == at::kLong && position->is_contiguous(), "one position a row");

    std::vector<Query> queries(rows);
    std::vector<int64_t> starts;  // the first row of each run of one sequence
    const int32_t* of = sequence->const_data_ptr<int32_t>();
    const int64_t* at_position = position->const_data_ptr<int64_t>();
    const int32_t* table = tables->const_data_ptr<int32_t>();
    const int64_t width = tables->size(1), blocks = key_cache->size(0);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t to = at_position[r], from = window > 0 && to >= window ? to - window + 1 : 0;
      TORCH_CHECK(of[r] >= 0 && of[r] < tables->size(0) && to >= 0 && to / BLOCK < width, "row ", r, " lies outside its block table");
      for (int64_t b = from / BLOCK; b <= to / BLOCK; ++b)
        TORCH_CHECK(table[of[r] * width + b] >= 0 && table[of[r] * width + b] < blocks, "row ", r, " points outside the cache");
      queries[r] = {static_cast<int32_t>(from), static_cast<int32_t>(to), of[r] * width};
      if (r == 0 || of[r] != of[r - 1]) starts.push_back(r);
    }
    starts.push_back(rows);

    at::Tensor result = at::empty({rows, heads * dim}, q->options());
    const bool narrow = kind == at::kBFloat16;
    Pass pass{q->const_data_ptr(), key_cache->const_data_ptr(), value_cache->const_data_ptr(), result.data_ptr(),
              q->stride(0), heads, kv_heads, dim, padded, queries.data(), table, static_cast<float>(scale)};

    const int64_t runs = static_cast<int64_t>(starts.size()) - 1;
    at::parallel_for(0, runs, 16, [&](int64_t begin, int64_t end) {
      if (narrow) write_rows<uint16_t>(pass, *k, *v, starts[begin], starts[end]);
      else write_rows<float>(pass, *k, *v, starts[begin], starts[end]);
    });

    static const Attend attend = MARFT_CHOOSE(attend);
    const int64_t group = heads / kv_heads;
    const int64_t tile = std::max<int64_t>(1, TILE_QUERIES / group), tiles = (rows + tile - 1) / tile;
    const int64_t count = tile * group;
    std::atomic<int64_t> next{0};
    at::parallel_for(0, std::min<int64_t>(at::get_num_threads(), tiles * kv_heads), 1, [&](int64_t, int64_t) {
      std::vector<float> memory(count * (2 * padded + 2 * SPAN + 2) + 16);
      Scratch scratch;
      scratch.queries = memory.data();
      scratch.mixed = scratch.queries + count * padded;
      scratch.scores = scratch.mixed + count * padded;
      scratch.weights = scratch.scores + count * SPAN;
      scratch.peak = scratch.weights + count * SPAN;
      scratch.total = scratch.peak + count;
      for (int64_t item; (item = next.fetch_add(1)) < tiles * kv_heads;) {
        const int64_t begin = item / kv_heads * tile;
        attend(pass, narrow, begin, std::min(rows, begin + tile), item % kv_heads, scratch);
      }
    });
    *out = marft::give(std::move(result));
  });
}

}  // extern "C"
