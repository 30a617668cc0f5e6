// The row kernels compiled once per instruction set, and the choice among them. Includes nothing of libtorch: inline code
// of shared headers must not be compiled for an instruction set that the machine may lack.
#include "rows.h"

namespace {

using namespace marft;

#define MARFT_KERNEL "rows.inc"
#include "instruction_sets.inc"

}  // namespace

namespace marft {

RowKernels row_kernels(bool bf16) { return MARFT_CHOOSE(kernels)(bf16); }

}  // namespace marft
