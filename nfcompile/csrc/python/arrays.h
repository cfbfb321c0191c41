// numpy arrays as the kernels take them.
#ifndef NFCOMPILE_PYTHON_ARRAYS_H_
#define NFCOMPILE_PYTHON_ARRAYS_H_

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <optional>
#include <vector>

#include "base/index_array.h"
#include "base/text.h"

namespace nfcompile::python {

namespace nb = nanobind;

using Vector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Blocks = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using FourD = nb::ndarray<const float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using FourDOutput = nb::ndarray<float, nb::ndim<4>, nb::c_contig, nb::device::cpu>;
using Output = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Integers = nb::ndarray<nb::ro, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

template <typename Array>
std::vector<int64_t> Shape(const Array& array) {
  return std::vector<int64_t>(array.shape_ptr(), array.shape_ptr() + array.ndim());
}

inline IndexArray ToIndexArray(const Integers& array, const char* name) {
  const auto size = static_cast<int64_t>(array.shape(0));
  if (array.dtype() == nb::dtype<uint8_t>()) return {array.data(), size, IndexType::kUint8};
  if (array.dtype() == nb::dtype<uint16_t>()) return {array.data(), size, IndexType::kUint16};
  if (array.dtype() == nb::dtype<int32_t>()) return {array.data(), size, IndexType::kInt32};
  if (array.dtype() == nb::dtype<int64_t>()) return {array.data(), size, IndexType::kInt64};
  Refuse(name, " must be of type uint8, uint16, int32 or int64");
}

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_ARRAYS_H_
