// What the row kernels are given, and the table of those for this machine.
#pragma once

#include <cstdint>

namespace marft {

// out = x · scale · weight with scale = 1 / rms(x), or the same of sum = x + delta. Rows are dense. Row r takes row
// r mod weight_rows of the weight: heads of one token may have different weights.
struct Norm {
  const void *x, *delta;
  const float* weight;
  void *sum, *out;
  float* scales;  // [rows], or null
  int64_t width, weight_rows;
  float eps;
};
// Gradient of the normalised input, plus `through`: what arrives at the sum by other ways.
struct NormBack {
  const void *x, *grad, *through;
  const float *weight, *scales;
  void* out;
  int64_t width, weight_rows;
};
// act(gate) · up of rows [gate | up]; with `grad`, the gradient of such a row.
struct Gate {
  const void *gate_up, *grad;
  void* out;
  int64_t width;
  bool gelu;
};
// Rotates the halves of heads against each other, by the angle (sign 1) or back (sign −1).
struct Rotate {
  const void* x;
  void* out;
  const float *cos, *sin;
  int64_t x_row, x_head, out_row, out_head, heads, half;
  float sign;
};
// Log-probability of the target, entropy, and log of the normaliser of softmax(logits / temperature).
struct Vocab {
  const void* logits;
  const int64_t* targets;
  float *logp, *entropy, *normaliser;
  int64_t width;
  float inverse_temperature;
};
// Replaces the logits by the gradient of them.
struct VocabBack {
  void* logits;
  const int64_t* targets;
  const float *entropy, *normaliser, *grad_logp, *grad_entropy;
  int64_t width;
  float inverse_temperature;
};

struct RowKernels {
  void (*norm)(const Norm&, int64_t begin, int64_t end);
  void (*norm_back)(const NormBack&, int64_t begin, int64_t end);
  void (*gate)(const Gate&, int64_t begin, int64_t end);
  void (*rotate)(const Rotate&, int64_t begin, int64_t end);
  void (*vocab)(const Vocab&, int64_t begin, int64_t end);
  void (*vocab_back)(const VocabBack&, int64_t begin, int64_t end);
};

RowKernels row_kernels(bool bf16);

}  // namespace marft
