// libtorch's threads for work that is not a tensor operation.
#include <ATen/Parallel.h>

#include <cstdint>

#include "guard.h"

using marft::guarded;

// Calls work(state, i) for every i < count. `work` must not throw.
extern "C" int marft_parallel(int64_t count, void (*work)(void*, int64_t), void* state) {
  return guarded([&] {
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) work(state, i);
    });
  });
}
