// Draws one token from every row of logits: two passes over the row as it is (bf16 or f32), no copy of the vocabulary.
//
// The first pass finds the peak. The second sums exp((l − peak)/T) in stretches of PART logits, and with the same exponentials
// what the log-probability at temperature 1 and the entropy need. The draw then finds its stretch among the sums and its token
// in the stretch, by the uniform number it is given: the inverse of the cumulative distribution in the order of ids.
// Truncated sampling (top-k, top-p, min-p) gathers only tokens near the peak and selects among them.
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "guard.h"

using marft::guarded;
using marft::Handle;

namespace {

constexpr int64_t PART = 512;
constexpr uint8_t SEEN = 1, ANSWERED = 2, SUPPRESSED = 4;

// What one row asks for.
struct Wish {
  float temperature, uniform, top_p, min_p, repetition, presence;
  int64_t top_k, edits;
  const int32_t* edit_ids;
  const uint8_t* edit_kinds;
  const uint32_t* mask;  // a bit for each id that may be drawn; ids beyond its words may not
  int64_t mask_words;    // 0: any id may be drawn
};

struct Candidate {
  float distance, weight;  // (l − peak)/T, and its exponential
  int32_t id;
};

struct Candidates {
  std::unique_ptr<Candidate[]> items, sorted;
  int64_t count = 0;
};

struct Draw {
  float logprob, logprob_one, entropy;
  int32_t id;
};

bool more_probable(const Candidate& a, const Candidate& b) {
  return a.distance != b.distance ? a.distance > b.distance : a.id < b.id;
}

// Reorders candidates so that the `k` most probable come first.
void select_most_probable(Candidate* items, int64_t count, int64_t k) {
  std::nth_element(items, items + k, items + count, more_probable);
}

// The shortest prefix of the candidates, by probability, whose mass reaches `target`: moved to the front, its length returned.
// Quickselect by mass: each round halves what is undecided, and nothing is sorted.
int64_t select_mass(Candidate* items, int64_t count, double target) {
  int64_t begin = 0, end = count;
  double above = 0.0;
  while (end - begin > 1) {
    const int64_t middle = begin + (end - begin) / 2;
    std::nth_element(items + begin, items + middle, items + end, more_probable);
    double mass = 0.0;
    for (int64_t i = begin; i < middle; ++i) mass += items[i].weight;
    if (above + mass >= target) {
      end = middle;
    } else {
      above += mass;
      begin = middle;
    }
  }
  return begin + 1;
}

// min-p, then top-k, then top-p, each on what the one before has left. `collect(depth)` fills the candidates.
template <class Collect>
void draw_truncated(const Wish& wish, float whole, int64_t n, Candidates* candidates, Draw* draw, Collect collect) {
  if (!candidates->items) {
    candidates->items.reset(new Candidate[n]);
    candidates->sorted.reset(new Candidate[n]);
  }
  // Wide enough for everything that can be kept: min-p states its depth; the others widen until they have enough.
  const float most = wish.min_p > 0.0f ? -std::log(wish.min_p) : 88.0f;
  const bool bounded = wish.top_k > 0 && wish.top_k < n;
  float depth = (bounded || wish.top_p < 1.0f) && most > 6.0f ? 6.0f : most;
  float mass = collect(depth);
  // With both, top-p takes its share of what top-k leaves, so the count decides.
  while (depth < most && (bounded ? candidates->count < wish.top_k : mass < wish.top_p * whole)) {
    depth = std::min(depth * 2.0f, most);
    mass = collect(depth);
  }

  Candidate* kept = candidates->sorted.get();
  std::copy_n(candidates->items.get(), candidates->count, kept);
  int64_t count = candidates->count;
  if (bounded && wish.top_k < count) {
    select_most_probable(kept, count, wish.top_k);
    count = wish.top_k;
  }
  if (wish.top_p < 1.0f) {
    double reference = 0.0;
    if (bounded || wish.min_p > 0.0f)
      for (int64_t i = 0; i < count; ++i) reference += kept[i].weight;
    else
      reference = whole;
    count = select_mass(kept, count, wish.top_p * reference);
  }
  std::sort(kept, kept + count, [](const Candidate& a, const Candidate& b) { return a.id < b.id; });

  float left = 0.0f;
  for (int64_t i = 0; i < count; ++i) left += kept[i].weight;
  const float target = wish.uniform * left;
  float below = 0.0f;
  int64_t chosen = count - 1;
  for (int64_t i = 0; i < count; ++i) {
    below += kept[i].weight;
    if (below > target) {
      chosen = i;
      break;
    }
  }
  draw->id = kept[chosen].id;
  draw->logprob = kept[chosen].distance - std::log(left);
}

typedef void (*DrawRow)(const void*, int64_t, const Wish&, Candidates*, float*, Draw*);

#define MARFT_KERNEL "sampler.inc"
#include "instruction_sets.inc"

}  // namespace

extern "C" {

// What a row asks for, as Rust lays it out.
struct MarftDrawRequest {
  float temperature, uniform, top_p, min_p, repetition, presence;
  int64_t row, top_k, edits_begin, edits_end, mask_begin, mask_end;
};

struct MarftDraw {
  float logprob, logprob_one, entropy;
  int32_t id;
};

// logits [rows, vocabulary] f32 or bf16 on the CPU. Request i draws from row requests[i].row, so several may share one. Its
// edits are edit_ids/edit_kinds[edits_begin .. edits_end], distinct ids, and its mask is masks[mask_begin .. mask_end], empty for
// none. draws[i].id is −1 where the row is not finite or nothing may be drawn.
int marft_draw(Handle logits, const MarftDrawRequest* requests, size_t count, const int32_t* edit_ids, const uint8_t* edit_kinds,
               size_t edits, const uint32_t* masks, size_t mask_words, MarftDraw* draws) {
  return guarded([&] {
    const auto kind = logits->scalar_type();
    TORCH_CHECK(logits->device().is_cpu() && logits->dim() == 2 && logits->size(1) > 0, "logits are a CPU matrix");
    TORCH_CHECK(kind == at::kFloat || kind == at::kBFloat16, "logits are float or bfloat16");
    TORCH_CHECK(logits->stride(1) == 1, "a row of logits is dense");
    const int64_t n = logits->size(1);
    for (size_t i = 0; i < count; ++i) {
      const auto& r = requests[i];
      TORCH_CHECK(r.row >= 0 && r.row < logits->size(0), "request ", i, " draws from row ", r.row, " of ", logits->size(0));
      TORCH_CHECK(r.temperature >= 0.0f && r.uniform >= 0.0f && r.uniform < 1.0f && r.top_p > 0.0f && r.top_k >= 0, "request ", i, " is out of range");
      TORCH_CHECK(0 <= r.edits_begin && r.edits_begin <= r.edits_end && static_cast<size_t>(r.edits_end) <= edits, "edits of request ", i);
      TORCH_CHECK(0 <= r.mask_begin && r.mask_begin <= r.mask_end && static_cast<size_t>(r.mask_end) <= mask_words, "mask of request ", i);
    }
    for (size_t i = 0; i < edits; ++i) TORCH_CHECK(edit_ids[i] >= 0 && edit_ids[i] < n, "edit of id ", edit_ids[i]);

    const char* base = static_cast<const char*>(logits->const_data_ptr());
    const int64_t stride = logits->stride(0) * logits->element_size();
    static const DrawRow choices[2] = {MARFT_CHOOSE(draw_f32), MARFT_CHOOSE(draw_bf16)};
    const DrawRow draw_row = choices[kind == at::kBFloat16];
    at::parallel_for(0, static_cast<int64_t>(count), 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch((n + PART - 1) / PART + n);
      Candidates candidates;
      for (int64_t i = begin; i < end; ++i) {
        const auto& r = requests[i];
        Wish wish{r.temperature, r.uniform, r.top_p, r.min_p, r.repetition, r.presence, r.top_k, r.edits_end - r.edits_begin,
                  edit_ids + r.edits_begin, edit_kinds + r.edits_begin, masks + r.mask_begin, r.mask_end - r.mask_begin};
        Draw draw{0.0f, 0.0f, 0.0f, -1};
        draw_row(base + r.row * stride, n, wish, &candidates, scratch.data(), &draw);
        draws[i] = {draw.logprob, draw.logprob_one, draw.entropy, draw.id};
      }
    });
  });
}

}  // extern "C"
