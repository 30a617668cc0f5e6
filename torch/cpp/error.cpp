#include "guard.h"

namespace marft {

std::string& last_error() {
  static thread_local std::string message;
  return message;
}

}  // namespace marft

// Valid until the next call of the shim on the same thread.
extern "C" const char* marft_last_error() { return marft::last_error().c_str(); }
