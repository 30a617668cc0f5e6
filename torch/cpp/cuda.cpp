// The CUDA allocator's figures. Compiled with the feature `cuda` only: it needs CUDA's headers.
#include <c10/cuda/CUDACachingAllocator.h>

#include "guard.h"

using marft::guarded;

extern "C" {

// Bytes of device `index`: allocated now, allocated at most, reserved now, reserved at most.
int marft_cuda_memory(int index, int64_t* figures) {
  return guarded([&] {
    using c10::CachingAllocator::StatType;
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(index));
    const auto all = static_cast<size_t>(StatType::AGGREGATE);
    figures[0] = stats.allocated_bytes[all].current;
    figures[1] = stats.allocated_bytes[all].peak;
    figures[2] = stats.reserved_bytes[all].current;
    figures[3] = stats.reserved_bytes[all].peak;
  });
}

int marft_cuda_reset_peak(int index) {
  return guarded([&] { c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(index)); });
}

int marft_cuda_empty_cache() {
  return guarded([&] { c10::cuda::CUDACachingAllocator::emptyCache(); });
}

}  // extern "C"
