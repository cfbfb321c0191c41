// Weights in numpy arrays as views, which live no longer than the arrays.
#ifndef NFCOMPILE_PYTHON_VIEWS_H_
#define NFCOMPILE_PYTHON_VIEWS_H_

#include <optional>

#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/bsr/bsr.h"
#include "kernels/csr/csr.h"
#include "python/arrays.h"

namespace nfcompile::python {

inline CsrView ToCsr(const Vector& values, const Integers& indices, const Integers& indptr,
                     int64_t in_features) {
  return {.values = values.data(),
          .nnz = static_cast<int64_t>(values.shape(0)),
          .indices = ToIndexArray(indices, "indices"),
          .indptr = ToIndexArray(indptr, "indptr"),
          .in_features = in_features};
}

inline BsrView ToBsr(const Blocks& values, const Integers& indices, const Integers& indptr,
                     int64_t in_features) {
  return {.values = values.data(),
          .blocks = static_cast<int64_t>(values.shape(0)),
          .block_rows = static_cast<int64_t>(values.shape(1)),
          .block_columns = static_cast<int64_t>(values.shape(2)),
          .indices = ToIndexArray(indices, "indices"),
          .indptr = ToIndexArray(indptr, "indptr"),
          .in_features = in_features};
}

inline BlockSide ToSide(const std::optional<Integers>& list, const char* name, int64_t stride) {
  BlockSide side;
  side.stride = stride;
  side.has_list = list.has_value();
  if (list) side.list = ToIndexArray(*list, name);
  return side;
}

inline BlockDiagonalView ToBlockDiagonal(const Blocks& values,
                                         const std::optional<Integers>& rows,
                                         const std::optional<Integers>& cols,
                                         int64_t in_features, int64_t out_features,
                                         int64_t row_stride, int64_t col_stride) {
  return {.values = values.data(),
          .blocks = static_cast<int64_t>(values.shape(0)),
          .block_rows = static_cast<int64_t>(values.shape(1)),
          .block_columns = static_cast<int64_t>(values.shape(2)),
          .rows = ToSide(rows, "rows", row_stride),
          .cols = ToSide(cols, "cols", col_stride),
          .in_features = in_features,
          .out_features = out_features};
}

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_VIEWS_H_
