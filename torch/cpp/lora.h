// The low-rank part of a linear layer for runs of rows, each run with its own adapter: forward into an existing product,
// and the gradients of all three factors.
#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "guard.h"

// One run of rows and its adapter at one site, as Rust passes it. A site joins several projections side by side; those the
// adapter targets are `blocks` (first column, columns), and share the low-rank columns in order, `rank` each.
struct MarftSegment {
  marft::Handle a;       // master [blocks · rank, in], f32
  marft::Handle b;       // master [sum of block columns, rank], f32
  marft::Handle a_copy;  // [blocks · rank, in] in the compute type
  marft::Handle b_copy;  // B · scale in the compute type
  double scale;
  int64_t start, length, rank;
  const int64_t* blocks;
  size_t block_count;
};

namespace marft {

struct Segment {
  at::Tensor a_copy, b_copy;
  double scale;
  int64_t start, length, rank;
  std::vector<int64_t> blocks;

  explicit Segment(const MarftSegment& s)
      : a_copy(*s.a_copy), b_copy(*s.b_copy), scale(s.scale), start(s.start), length(s.length), rank(s.rank),
        blocks(s.blocks, s.blocks + 2 * s.block_count) {}

  Segment(at::Tensor a, at::Tensor b, double scale, int64_t start, int64_t length, int64_t rank,
          std::vector<int64_t> blocks)
      : a_copy(std::move(a)), b_copy(std::move(b)), scale(scale), start(start), length(length), rank(rank),
        blocks(std::move(blocks)) {}

  // The copy of B as one matrix [out, blocks · rank]: each block where its columns and its factors meet, zero elsewhere. A
  // product with the zeros costs less than a product for each block.
  at::Tensor wide(int64_t out) const {
    if (blocks.size() == 2 && blocks[0] == 0 && blocks[1] == out) return b_copy;
    auto made = at::zeros({out, a_copy.size(0)}, b_copy.options());
    int64_t row = 0;
    for (size_t i = 0; 2 * i < blocks.size(); ++i) {
      const int64_t columns = blocks[2 * i + 1];
      made.narrow(0, blocks[2 * i], columns)
          .narrow(1, static_cast<int64_t>(i) * rank, rank)
          .copy_(b_copy.narrow(0, row, columns));
      row += columns;
    }
    return made;
  }

  // x [m, in] → x · Aᵀ [m, blocks · rank], and adds that · Bᵀ to out [m, out].
  at::Tensor add(const at::Tensor& x, at::Tensor out) const {
    auto low = at::mm(x, a_copy.t());
    out.addmm_(low, wide(out.size(1)).t());
    return low;
  }

  // Gradients of the low-rank part for rows x, their low and the gradient of out: adds to `input` [m, in] in place.
  struct Grads {
    at::Tensor a, b;
  };
  Grads back(const at::Tensor& x, const at::Tensor& low, const at::Tensor& grad, at::Tensor input) const {
    auto through = at::mm(grad, wide(grad.size(1)));
    if (input.defined()) input.addmm_(through, a_copy);
    return {at::mm(through.t(), x).to(at::kFloat), compact(at::mm(grad.t(), low))};
  }

  // Gradient of the master B from that of the wide, scaled copy.
  at::Tensor compact(const at::Tensor& full) const {
    std::vector<at::Tensor> parts;
    for (size_t i = 0; 2 * i < blocks.size(); ++i)
      parts.push_back(full.narrow(0, blocks[2 * i], blocks[2 * i + 1])
                          .narrow(1, static_cast<int64_t>(i) * rank, rank)
                          .to(at::kFloat));
    return (parts.size() == 1 ? parts.front() : at::cat(parts, 0)).mul(scale);
  }
};

// Segments without their tensors, as a node of the graph keeps them beside its saved tensors.
inline void keep(torch::autograd::AutogradContext* context, const std::vector<Segment>& segments) {
  std::vector<int64_t> layout;
  std::vector<double> scales;
  for (const auto& s : segments) {
    layout.insert(layout.end(), {s.start, s.length, s.rank, static_cast<int64_t>(s.blocks.size())});
    layout.insert(layout.end(), s.blocks.begin(), s.blocks.end());
    scales.push_back(s.scale);
  }
  context->saved_data["layout"] = layout;
  context->saved_data["scales"] = scales;
}

// The same again; tensors[2 i] and tensors[2 i + 1] are the copies of segment i.
inline std::vector<Segment> kept(torch::autograd::AutogradContext* context, at::TensorList tensors) {
  const auto layout = context->saved_data["layout"].toIntVector();
  const auto scales = context->saved_data["scales"].toDoubleVector();
  std::vector<Segment> segments;
  auto at = layout.begin();
  for (size_t i = 0; i < scales.size(); ++i) {
    std::vector<int64_t> blocks(at + 4, at + 4 + at[3]);
    segments.emplace_back(tensors[2 * i], tensors[2 * i + 1], scales[i], at[0], at[1], at[2], std::move(blocks));
    at += 4 + at[3];
  }
  return segments;
}

inline std::vector<Segment> segments_of(const MarftSegment* segments, size_t count) {
  return std::vector<Segment>(segments, segments + count);
}
inline std::vector<at::Tensor> masters_of(const MarftSegment* segments, size_t count) {
  std::vector<at::Tensor> masters;
  for (size_t i = 0; i < count; ++i) masters.insert(masters.end(), {*segments[i].a, *segments[i].b});
  return masters;
}
inline std::vector<at::Tensor> copies_of(const std::vector<Segment>& segments) {
  std::vector<at::Tensor> copies;
  for (const auto& s : segments) copies.insert(copies.end(), {s.a_copy, s.b_copy});
  return copies;
}

inline bool any_requires_grad(at::TensorList tensors) {
  if (!c10::GradMode::is_enabled()) return false;
  for (const auto& tensor : tensors)
    if (tensor.defined() && tensor.requires_grad()) return true;
  return false;
}

inline void check_segments(const MarftSegment* segments, size_t count, const at::Tensor& x, int64_t out_width) {
  int64_t end = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto& s = segments[i];
    TORCH_CHECK(s.start >= end && s.length >= 0 && s.start + s.length <= x.size(0),
                "runs of adapters must be in order, apart, and inside the rows");
    end = s.start + s.length;
    const int64_t low = static_cast<int64_t>(s.block_count) * s.rank;
    TORCH_CHECK(s.a->sizes() == at::IntArrayRef({low, x.size(1)}) && s.a_copy->sizes() == s.a->sizes() &&
                    s.b->dim() == 2 && s.b->size(1) == s.rank && s.b_copy->sizes() == s.b->sizes(),
                "an adapter does not fit the layer: its factors are ", s.a->sizes(), " and ", s.b->sizes());
    TORCH_CHECK(s.a_copy->scalar_type() == x.scalar_type() && s.b_copy->scalar_type() == x.scalar_type() &&
                    s.a->scalar_type() == at::kFloat && s.b->scalar_type() == at::kFloat,
                "masters are f32, their copies of the compute type");
    int64_t rows = 0;
    for (size_t j = 0; j < s.block_count; ++j) {
      const int64_t first = s.blocks[2 * j], columns = s.blocks[2 * j + 1];
      TORCH_CHECK(first >= 0 && columns >= 0 && first + columns <= out_width, "a projection lies outside of the layer");
      rows += columns;
    }
    TORCH_CHECK(s.b->size(0) == rows, "factor B has ", s.b->size(0), " rows for projections of ", rows);
  }
}

}  // namespace marft
