// The rule of `indptr` that CSR and BSR share.
#ifndef NFCOMPILE_KERNELS_INDPTR_H_
#define NFCOMPILE_KERNELS_INDPTR_H_

#include <cstdint>

#include "base/index_array.h"

namespace nfcompile {

// Throws std::invalid_argument unless indptr runs from 0 to `stored` without descending and
// every index lies in 0 .. columns - 1. `format` and `column` name things in the message.
void CheckIndptr(const char* format, const IndexArray& indptr, const IndexArray& indices,
                 int64_t stored, int64_t columns, const char* column);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_INDPTR_H_
