// State of libtorch's default generators, as byte tensors: what a checkpoint needs to resume dropout bit for bit.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include "guard.h"

using marft::Handle;
using marft::guarded;

namespace {

const at::Generator& generator(int cuda_index) {
  if (cuda_index < 0) return at::detail::getDefaultCPUGenerator();
  return at::globalContext().defaultGenerator(at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(cuda_index)));
}

}  // namespace

extern "C" {

int marft_rng_state(int cuda_index, Handle* state) {
  return guarded([&] {
    at::Generator own = generator(cuda_index);
    std::lock_guard<std::mutex> lock(own.mutex());
    *state = marft::give(own.get_state());
  });
}

int marft_set_rng_state(int cuda_index, Handle state) {
  return guarded([&] {
    at::Generator own = generator(cuda_index);
    std::lock_guard<std::mutex> lock(own.mutex());
    own.set_state(*state);
  });
}

}  // extern "C"
