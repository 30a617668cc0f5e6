// The contract of every entry of the shim: C ABI, 0 for success and -1 for failure, no exception leaves C++.
// The message of a failure waits in a thread-local string until Rust asks for it (`marft_last_error`).
#pragma once

#include <ATen/ATen.h>

#include <exception>
#include <string>

namespace marft {

std::string& last_error();

template <class Body>
int guarded(Body&& body) noexcept {
  try {
    body();
    return 0;
  } catch (const c10::Error& error) {
    last_error() = error.what_without_backtrace();
  } catch (const std::exception& error) {
    last_error() = error.what();
  } catch (...) {
    last_error() = "an exception that is no std::exception";
  }
  return -1;
}

// tch and torch-sys hold tensors as pointers to heap-allocated at::Tensor; so do we.
using Handle = at::Tensor*;

inline Handle give(at::Tensor tensor) { return new at::Tensor(std::move(tensor)); }

// A null handle stands for "none".
inline at::Tensor optional(Handle handle) { return handle ? *handle : at::Tensor(); }

inline std::vector<at::Tensor> list(const Handle* handles, size_t count) {
  std::vector<at::Tensor> tensors;
  tensors.reserve(count);
  for (size_t i = 0; i < count; ++i) tensors.push_back(*handles[i]);
  return tensors;
}

}  // namespace marft
