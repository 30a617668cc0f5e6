// The low-rank parts of a batch in which runs of rows take different adapters, without gradients, on the CPU.
//
// Few rows of many adapters make matrix products too small for a library call each: at 30 layers, four sites and four adapters
// the calls alone cost milliseconds a pass. Here all runs of a site are one parallel loop over tiles of rows. The intermediate
// [rows, rank] stays in float and in the processor's cache. A row's result does not depend on the rows beside it.
#include <ATen/Parallel.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <vector>

#include "guard.h"

using marft::guarded;
using marft::Handle;

namespace {

constexpr int64_t TILE = 16;

struct Segment {
  const void *down, *up;
  int64_t in, rank, blocks, up_stride;
  const int64_t* columns;  // (first, count) of each block
};

struct Tile {
  const Segment* segment;
  int64_t begin, end;
};

typedef void (*Add)(const Segment&, bool, const void*, int64_t, void*, int64_t, int64_t, int64_t, float*);

#define MARFT_WITH_BF16_DOT
#define MARFT_KERNEL "segment_lora.inc"
#include "instruction_sets.inc"

}  // namespace

extern "C" {

// A run of rows and its factors, as Rust lays it out.
struct MarftFactors {
  Handle down;  // [blocks · rank, in]
  Handle up;    // [rank, columns of all blocks], scaled
  int64_t start, length, rank;
  const int64_t* columns;  // (first, count) of each block in out
  size_t blocks;
};

// out [n, out] += up(down(x)) for every run; x [n, in]; everything of one kind, f32 or bf16, on the CPU.
int marft_segment_lora(Handle out, Handle x, const MarftFactors* factors, size_t count) {
  return guarded([&] {
    const auto kind = x->scalar_type();
    TORCH_CHECK(kind == at::kFloat || kind == at::kBFloat16, "adapters compute in float or bfloat16");
    TORCH_CHECK(x->device().is_cpu() && out->device().is_cpu() && out->scalar_type() == kind, "rows and product share one kind, on the CPU");
    TORCH_CHECK(x->dim() == 2 && out->dim() == 2 && x->size(0) == out->size(0) && x->stride(1) == 1 && out->stride(1) == 1,
                "rows are dense and as many as those of the product");
    std::vector<Segment> segments;
    segments.reserve(count);
    std::vector<Tile> tiles;
    int64_t ranks = 0, done = 0;
    for (size_t i = 0; i < count; ++i) {
      const MarftFactors& f = factors[i];
      const int64_t blocks = static_cast<int64_t>(f.blocks), low = blocks * f.rank;
      TORCH_CHECK(f.start >= done && f.length >= 0 && f.start + f.length <= x->size(0), "runs of adapters must be in order, apart, and inside the rows");
      done = f.start + f.length;
      TORCH_CHECK(f.down->scalar_type() == kind && f.up->scalar_type() == kind && f.down->is_contiguous() && f.up->is_contiguous(),
                  "factors are dense and of the kind of the rows");
      int64_t columns = 0;
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t first = f.columns[2 * b], width = f.columns[2 * b + 1];
        TORCH_CHECK(first >= 0 && width >= 0 && first + width <= out->size(1), "a projection lies outside of the layer");
        columns += width;
      }
      TORCH_CHECK(f.rank > 0 && f.down->sizes() == at::IntArrayRef({low, x->size(1)}) && f.up->sizes() == at::IntArrayRef({f.rank, columns}),
                  "an adapter does not fit the layer: its factors are ", f.down->sizes(), " and ", f.up->sizes());
      segments.push_back({f.down->const_data_ptr(), f.up->const_data_ptr(), x->size(1), f.rank, blocks, columns, f.columns});
      ranks = std::max(ranks, low);
      for (int64_t r = f.start; r < done; r += TILE) tiles.push_back({&segments.back(), r, std::min(done, r + TILE)});
    }
    static const Add add = MARFT_CHOOSE(add);
    const bool narrow = kind == at::kBFloat16;
    const void* from = x->const_data_ptr();
    void* to = out->data_ptr();
    at::parallel_for(0, static_cast<int64_t>(tiles.size()), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> low(4 * ranks);
      for (int64_t t = begin; t < end; ++t)
        add(*tiles[t].segment, narrow, from, x->stride(0), to, out->stride(0), tiles[t].begin, tiles[t].end, low.data());
    });
  });
}

}  // extern "C"
