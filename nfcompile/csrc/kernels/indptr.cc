#include "kernels/indptr.h"

#include "base/text.h"

namespace nfcompile {

void CheckIndptr(const char* format, const IndexArray& indptr, const IndexArray& indices,
                 int64_t stored, int64_t columns, const char* column) {
  Require(indptr.size() >= 1, format, " indptr must have at least one entry");
  Require(indices.size() == stored, format, " indices must have as many entries as values, ",
          stored, ", got ", indices.size());
  Require(indptr[0] == 0, format, " indptr must start with 0, got ", indptr[0]);
  for (int64_t row = 0; row + 1 < indptr.size(); ++row) {
    Require(indptr[row + 1] >= indptr[row], format, " indptr must not descend, got ",
            indptr[row + 1], " after ", indptr[row], " at row ", row);
  }
  const int64_t last = indptr[indptr.size() - 1];
  Require(last == stored, format, " indptr must end with the number of entries, ", stored,
          ", got ", last);
  for (int64_t p = 0; p < stored; ++p) {
    const int64_t index = indices[p];
    Require(index >= 0 && index < columns, format, " indices must lie in 0 .. ", columns - 1,
            " (", column, "), got ", index, " at entry ", p);
  }
}

}  // namespace nfcompile
