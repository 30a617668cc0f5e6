// The row kernels compiled once per instruction set, and the choice among them. Includes nothing of libtorch: inline code
// of shared headers must not be compiled for an instruction set that the machine may lack.
#include "rows.h"

#define LANES_INLINE_MEMBER inline __attribute__((always_inline))

namespace {

using namespace marft;

#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
namespace avx512 {
#include "lanes.inc"
#include "rows.inc"
}  // namespace avx512
#undef LANES_INLINE
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
#include "lanes.inc"
#include "rows.inc"
}  // namespace avx2
#undef LANES_INLINE
#pragma GCC pop_options
#endif
namespace portable {
#include "lanes.inc"
#include "rows.inc"
}  // namespace portable
#undef LANES_INLINE
#pragma GCC pop_options

}  // namespace

namespace marft {

RowKernels row_kernels(bool bf16) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return avx512::kernels(bf16);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return avx2::kernels(bf16);
#endif
  return portable::kernels(bf16);
}

}  // namespace marft
