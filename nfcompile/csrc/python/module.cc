// nfcompile._native: the kernels that ONNX Runtime runs, for tests, calibration and benchmarks.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/crew.h"
#include "base/isa.h"
#include "base/text.h"
#include "python/arrays.h"
#include "python/attention.h"
#include "python/chain.h"
#include "python/cuda.h"
#include "python/roofline.h"
#include "python/run.h"
#include "python/training.h"
#include "python/views.h"

namespace nfcompile::python {
namespace {

using nanobind::literals::operator""_a;

// The shape, strides and dilations of a window.
using Taps = std::optional<std::vector<std::vector<int64_t>>>;

std::optional<Window> MakeWindow(const Taps& taps) {
  if (!taps) return std::nullopt;
  Require(taps->size() == 3, "window must have 3 lists, shape, strides and dilations, got ",
          taps->size());
  Window window{(*taps)[0], (*taps)[1], (*taps)[2], {0, 0, 0, 0}};
  Check(window);
  return window;
}

Product Csr(const Vector& values, const Integers& indices, const Integers& indptr,
            int64_t in_features, const std::string& isa, const std::string& precision,
            bool generate = true, const Taps& taps = std::nullopt) {
  const std::optional<Window> window = MakeWindow(taps);
  return Product(MakeCsrMatMul(ToCsr(values, indices, indptr, in_features), IsaFromName(isa),
                               PrecisionFromName(precision),
                               {.window = window ? &*window : nullptr, .generate = generate}));
}

Product Bsr(const Blocks& values, const Integers& indices, const Integers& indptr,
            int64_t in_features, const std::string& isa, const std::string& precision) {
  return Product(MakeBsrMatMul(ToBsr(values, indices, indptr, in_features), IsaFromName(isa),
                               PrecisionFromName(precision)));
}

Product BlockDiagonal(const Blocks& values, const std::optional<Integers>& rows,
                      const std::optional<Integers>& cols, int64_t in_features,
                      int64_t out_features, int64_t row_stride, int64_t col_stride,
                      const std::string& isa, const std::string& precision) {
  return Product(MakeBlockDiagonalMatMul(
      ToBlockDiagonal(values, rows, cols, in_features, out_features, row_stride, col_stride),
      IsaFromName(isa), PrecisionFromName(precision)));
}

std::vector<std::string> Names(const std::vector<Isa>& isas) {
  std::vector<std::string> names;
  for (const Isa isa : isas) names.emplace_back(IsaName(isa));
  return names;
}

nb::list Kernels() {
  constexpr std::pair<const char*, const char*> kFamilies[] = {
      {"csr", "a few rows of x: output rows in the lanes"},
      {"bsr", "rows of x: rows of a block in the lanes"},
      {"block_diagonal", "rows of x: rows or neighbouring blocks in the lanes"},
      {"tile", "tiles of any encoding: rows of x in the lanes"},
  };
  nb::list kernels;
  for (const auto& [family, description] : kFamilies) {
    for (const Isa isa : TestIsas()) {
      nb::dict kernel;
      kernel["family"] = family;
      kernel["isa"] = std::string(IsaName(isa));
      kernel["description"] = isa == Isa::kScalar ? "plain loops" : description;
      kernels.append(kernel);
    }
  }
  return kernels;
}

// The run-time half of the one-call functions: product(x, **options).
nb::object Apply(Product product, const nb::object& x, const nb::kwargs& options) {
  return nb::cast(std::move(product))(x, **options);
}

void Bind(nb::module_& m) {
  m.doc() = "The kernels of libnfcompile_ops, for tests, calibration and benchmarks.";
  m.def("isas", [] { return Names(UsableIsas()); });
  m.def("test_isas", [] { return Names(TestIsas()); });
  m.def("selected_isa", [] { return std::string(IsaName(SelectIsa())); });
  m.def("kernels", &Kernels);

  nb::class_<Crew>(m, "Crew")
      .def(nb::init<>())
      .def("call", &Crew::Call, "rows"_a, "threads"_a)
      .def("learn", &Crew::Learn, "rows"_a, "threads"_a, "called"_a, "ns"_a);

  BindChain(m);
  m.def("pack_csr", &Csr, "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(),
        "isa"_a = "", "precision"_a = "float32", "generate"_a = true, "window"_a = nb::none());
  m.def(
      "generate_csr",
      [](const Vector& values, const Integers& indices, const Integers& indptr,
         int64_t in_features, const Taps& taps) {
        const std::optional<Window> window = MakeWindow(taps);
        const std::vector<uint8_t> code = GenerateCsr(
            ToCsr(values, indices, indptr, in_features), window ? &*window : nullptr);
        return nb::bytes(code.data(), code.size());
      },
      "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(),
      "window"_a = nb::none());
  m.def("pack_bsr", &Bsr, "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(),
        "isa"_a = "", "precision"_a = "float32");
  m.def("pack_block_diagonal", &BlockDiagonal, "values"_a, "rows"_a.none(), "cols"_a.none(),
        "in_features"_a, "out_features"_a, nb::kw_only(), "row_stride"_a = 0,
        "col_stride"_a = 0, "isa"_a = "", "precision"_a = "float32");

  m.def(
      "csr_matmul",
      [](const nb::object& x, const Vector& values, const Integers& indices,
         const Integers& indptr, int64_t in_features, const std::string& isa,
         const nb::kwargs& options) {
        return Apply(Csr(values, indices, indptr, in_features, isa, "float32"), x, options);
      },
      "x"_a, "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(), "isa"_a = "",
      "options"_a);
  m.def(
      "bsr_matmul",
      [](const nb::object& x, const Blocks& values, const Integers& indices,
         const Integers& indptr, int64_t in_features, const std::string& isa,
         const nb::kwargs& options) {
        return Apply(Bsr(values, indices, indptr, in_features, isa, "float32"), x, options);
      },
      "x"_a, "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(), "isa"_a = "",
      "options"_a);
  m.def(
      "block_diagonal_matmul",
      [](const nb::object& x, const Blocks& values, const std::optional<Integers>& rows,
         const std::optional<Integers>& cols, int64_t in_features, int64_t out_features,
         int64_t row_stride, int64_t col_stride, const std::string& isa,
         const nb::kwargs& options) {
        return Apply(BlockDiagonal(values, rows, cols, in_features, out_features, row_stride,
                                   col_stride, isa, "float32"),
                     x, options);
      },
      "x"_a, "values"_a, "rows"_a.none(), "cols"_a.none(), "in_features"_a, "out_features"_a,
      nb::kw_only(), "row_stride"_a = 0, "col_stride"_a = 0, "isa"_a = "", "options"_a);
}

}  // namespace
}  // namespace nfcompile::python

NB_MODULE(_native, m) {
  nfcompile::python::Bind(m);
  nfcompile::python::BindTraining(m);
  nfcompile::python::BindAttention(m);
  nfcompile::python::BindCuda(m);
  nfcompile::python::BindRoofline(m);
}
