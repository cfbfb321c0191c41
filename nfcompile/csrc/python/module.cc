// nfcompile._native: the kernels that ONNX Runtime runs, for tests, calibration and benchmarks.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/bsr/bsr.h"
#include "kernels/csr/csr.h"
#include "python/arrays.h"
#include "python/roofline.h"
#include "python/training.h"

namespace nfcompile::python {
namespace {

using nanobind::literals::operator""_a;

// The epilogue as keyword arguments.
struct Options {
  std::optional<Vector> bias;
  std::optional<Matrix> residual;
  std::string activation = "none";
  float alpha = 0;
  float beta = 0;
  bool residual_after_activation = false;
};

// Packed weights of any family.
class Product {
 public:
  explicit Product(std::unique_ptr<MatMul> matmul) : matmul_(std::move(matmul)) {}

  int64_t in_features() const { return matmul_->in_features(); }
  int64_t out_features() const { return matmul_->out_features(); }
  std::string description() const { return matmul_->description(); }

  // The number of tasks that a run is cut into.
  int64_t Tasks(int64_t batch, int64_t threads) const {
    return Grid(matmul_->WorkFor(batch), threads).tasks();
  }

  void Run(const Matrix& x, const Output& y, const Options& options, int64_t threads) const {
    const auto batch = static_cast<int64_t>(x.shape(0));
    CheckShape("x", x.shape(0), x.shape(1), batch, in_features());
    CheckShape("y", y.shape(0), y.shape(1), batch, out_features());
    Operands operands;
    operands.x = x.data();
    operands.y = y.data();
    operands.batch = batch;
    Epilogue& epilogue = operands.epilogue;
    epilogue.activation = ActivationFromName(options.activation);
    epilogue.alpha = options.alpha;
    epilogue.beta = options.beta;
    epilogue.residual_after_activation = options.residual_after_activation;
    if (options.bias) {
      CheckShape("bias", 1, options.bias->shape(0), 1, out_features());
      epilogue.bias = options.bias->data();
    }
    if (options.residual) {
      CheckShape("residual", options.residual->shape(0), options.residual->shape(1), batch,
                 out_features());
      epilogue.residual = options.residual->data();
    }
    if (batch == 0 || out_features() == 0) return;
    const nb::gil_scoped_release release;
    // The tasks that `threads` threads would share, one after the other.
    const Grid grid(matmul_->WorkFor(batch), threads);
    for (int64_t task = 0; task < grid.tasks(); ++task) {
      const size_t floats = matmul_->WorkspaceFloats(batch);
      matmul_->RunTask(operands, grid, task, ThreadWorkspace(floats));
    }
  }

  Result Call(const Matrix& x, const Options& options, int64_t threads) const {
    const size_t size = x.shape(0) * static_cast<size_t>(out_features());
    auto* y = new float[std::max<size_t>(size, 1)];
    const nb::capsule owner(y, [](void* data) noexcept { delete[] static_cast<float*>(data); });
    const size_t shape[2] = {x.shape(0), static_cast<size_t>(out_features())};
    Run(x, Output(y, 2, shape, owner), options, threads);
    return Result(y, 2, shape, owner);
  }

 private:
  static void CheckShape(const char* name, size_t rows, size_t columns, int64_t want_rows,
                         int64_t want_columns) {
    Require(static_cast<int64_t>(rows) == want_rows &&
                static_cast<int64_t>(columns) == want_columns,
            name, " must have shape (", want_rows, ", ", want_columns, "), got (", rows, ", ",
            columns, ")");
  }

  std::unique_ptr<MatMul> matmul_;
};

Product Csr(const Vector& values, const Integers& indices, const Integers& indptr,
            int64_t in_features, const std::string& isa) {
  return Product(MakeCsrMatMul({.values = values.data(),
                                .nnz = static_cast<int64_t>(values.shape(0)),
                                .indices = ToIndexArray(indices, "indices"),
                                .indptr = ToIndexArray(indptr, "indptr"),
                                .in_features = in_features},
                               IsaFromName(isa)));
}

Product Bsr(const Blocks& values, const Integers& indices, const Integers& indptr,
            int64_t in_features, const std::string& isa) {
  return Product(MakeBsrMatMul({.values = values.data(),
                                .blocks = static_cast<int64_t>(values.shape(0)),
                                .block_rows = static_cast<int64_t>(values.shape(1)),
                                .block_columns = static_cast<int64_t>(values.shape(2)),
                                .indices = ToIndexArray(indices, "indices"),
                                .indptr = ToIndexArray(indptr, "indptr"),
                                .in_features = in_features},
                               IsaFromName(isa)));
}

BlockSide Side(const std::optional<Integers>& list, const char* name, int64_t stride) {
  BlockSide side;
  side.stride = stride;
  side.has_list = list.has_value();
  if (list) side.list = ToIndexArray(*list, name);
  return side;
}

Product BlockDiagonal(const Blocks& values, const std::optional<Integers>& rows,
                      const std::optional<Integers>& cols, int64_t in_features,
                      int64_t out_features, int64_t row_stride, int64_t col_stride,
                      const std::string& isa) {
  return Product(
      MakeBlockDiagonalMatMul({.values = values.data(),
                               .blocks = static_cast<int64_t>(values.shape(0)),
                               .block_rows = static_cast<int64_t>(values.shape(1)),
                               .block_columns = static_cast<int64_t>(values.shape(2)),
                               .rows = Side(rows, "rows", row_stride),
                               .cols = Side(cols, "cols", col_stride),
                               .in_features = in_features,
                               .out_features = out_features},
                              IsaFromName(isa)));
}

std::vector<std::string> Names(const std::vector<Isa>& isas) {
  std::vector<std::string> names;
  for (const Isa isa : isas) names.emplace_back(IsaName(isa));
  return names;
}

nb::list Kernels() {
  constexpr std::pair<const char*, const char*> kFamilies[] = {
      {"csr", "rows of x in the lanes, or output rows for one row of x"},
      {"bsr", "rows of a block in the lanes"},
      {"block_diagonal", "rows or neighbouring blocks in the lanes"},
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

  const auto run = [](const Product& self, const Matrix& x, const Output& y,
                      std::optional<Vector> bias, std::optional<Matrix> residual,
                      std::string activation, float alpha, float beta, bool after,
                      int64_t threads) {
    const Options options{
        std::move(bias), std::move(residual), std::move(activation), alpha, beta, after};
    self.Run(x, y, options, threads);
  };
  const auto call = [](const Product& self, const Matrix& x, std::optional<Vector> bias,
                       std::optional<Matrix> residual, std::string activation, float alpha,
                       float beta, bool after, int64_t threads) {
    const Options options{
        std::move(bias), std::move(residual), std::move(activation), alpha, beta, after};
    return self.Call(x, options, threads);
  };
  nb::class_<Product>(m, "Product")
      .def_prop_ro("in_features", &Product::in_features)
      .def_prop_ro("out_features", &Product::out_features)
      .def_prop_ro("description", &Product::description)
      .def("tasks", &Product::Tasks, "batch"_a, nb::kw_only(), "threads"_a = 1)
      .def("run", run, "x"_a.noconvert(), "y"_a.noconvert(), nb::kw_only(),
           "bias"_a = nb::none(), "residual"_a = nb::none(), "activation"_a = "none",
           "activation_alpha"_a = 0.0f, "activation_beta"_a = 0.0f,
           "residual_after_activation"_a = false, "threads"_a = 1)
      .def("__call__", call, "x"_a, nb::kw_only(), "bias"_a = nb::none(),
           "residual"_a = nb::none(), "activation"_a = "none", "activation_alpha"_a = 0.0f,
           "activation_beta"_a = 0.0f, "residual_after_activation"_a = false, "threads"_a = 1);

  m.def("pack_csr", &Csr, "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(),
        "isa"_a = "");
  m.def("pack_bsr", &Bsr, "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(),
        "isa"_a = "");
  m.def("pack_block_diagonal", &BlockDiagonal, "values"_a, "rows"_a.none(), "cols"_a.none(),
        "in_features"_a, "out_features"_a, nb::kw_only(), "row_stride"_a = 0,
        "col_stride"_a = 0, "isa"_a = "");

  m.def(
      "csr_matmul",
      [](const nb::object& x, const Vector& values, const Integers& indices,
         const Integers& indptr, int64_t in_features, const std::string& isa,
         const nb::kwargs& options) {
        return Apply(Csr(values, indices, indptr, in_features, isa), x, options);
      },
      "x"_a, "values"_a, "indices"_a, "indptr"_a, "in_features"_a, nb::kw_only(), "isa"_a = "",
      "options"_a);
  m.def(
      "bsr_matmul",
      [](const nb::object& x, const Blocks& values, const Integers& indices,
         const Integers& indptr, int64_t in_features, const std::string& isa,
         const nb::kwargs& options) {
        return Apply(Bsr(values, indices, indptr, in_features, isa), x, options);
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
                                   col_stride, isa),
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
  nfcompile::python::BindRoofline(m);
}
