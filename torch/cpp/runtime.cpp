// Process-wide and thread-wide switches of libtorch that tch does not bind.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <dlfcn.h>
#include <torch/version.h>

#include <cstdlib>

#include "guard.h"

using marft::guarded;

namespace {

// oneDNN generates a kernel for every shape it meets and keeps the last 1024, about half a megabyte each. The shapes of training
// differ from pass to pass, so without a bound a process grows by tens of megabytes a step; making one anew takes half a millisecond.
[[gnu::constructor]] void bound_generated_kernels() { setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256", 0); }

}  // namespace

extern "C" {

const char* marft_torch_version() { return TORCH_VERSION; }

// Loads libtorch_cuda.so from the folder of libtorch_cpu.so, so that its registrations run. `loaded` = 1 if it is there now.
int marft_load_cuda(int* loaded) {
  return guarded([&] {
    Dl_info info{};
    *loaded = 0;
    if (!dladdr(reinterpret_cast<void*>(&at::globalContext), &info) || !info.dli_fname) return;
    std::string path = info.dli_fname;
    path = path.substr(0, path.find_last_of('/') + 1) + "libtorch_cuda.so";
    *loaded = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr;
    if (const char* reason = *loaded ? nullptr : dlerror()) marft::last_error() = reason;
  });
}

int marft_grad_enabled() { return c10::GradMode::is_enabled(); }
void marft_set_grad_enabled(int on) { c10::GradMode::set_enabled(on != 0); }

int marft_threads() { return at::get_num_threads(); }
int marft_interop_threads() { return at::get_num_interop_threads(); }
int marft_set_threads(int count) { return guarded([&] { at::set_num_threads(count); }); }
int marft_set_interop_threads(int count) { return guarded([&] { at::set_num_interop_threads(count); }); }

// Bits: 1 flash, 2 memory-efficient, 4 math, 8 cuDNN.
int marft_sdpa_backends() {
  auto& context = at::globalContext();
  return (context.userEnabledFlashSDP() ? 1 : 0) | (context.userEnabledMemEfficientSDP() ? 2 : 0) |
         (context.userEnabledMathSDP() ? 4 : 0) | (context.userEnabledCuDNNSDP() ? 8 : 0);
}
int marft_set_sdpa_backends(int bits) {
  return guarded([&] {
    auto& context = at::globalContext();
    context.setSDPUseFlash(bits & 1);
    context.setSDPUseMemEfficient(bits & 2);
    context.setSDPUseMath(bits & 4);
    context.setSDPUseCuDNN(bits & 8);
  });
}

int marft_deterministic() { return at::globalContext().deterministicAlgorithms(); }
int marft_set_deterministic(int on, int warn_only) {
  return guarded([&] { at::globalContext().setDeterministicAlgorithms(on != 0, warn_only != 0); });
}

}  // extern "C"
