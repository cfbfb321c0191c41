#include "python/run.h"

#include <algorithm>

namespace nfcompile::python {
namespace {

Form FormFromName(const std::string& name) {
  if (name == "auto") return Form::kAuto;
  if (name == "rows") return Form::kRows;
  if (name == "tiles") return Form::kTiles;
  Refuse("form must be one of auto, rows, tiles, got ", name);
}

void CheckSize(const char* name, size_t rows, size_t columns, int64_t want_rows,
               int64_t want_columns) {
  Require(
      static_cast<int64_t>(rows) == want_rows && static_cast<int64_t>(columns) == want_columns,
      name, " must have shape (", want_rows, ", ", want_columns, "), got (", rows, ", ",
      columns, ")");
}

void CheckCount(const Chain& chain, size_t inputs, const RunOptions& options) {
  Require(static_cast<int64_t>(inputs) == chain.inputs(), "a chain of ", chain.inputs(),
          " inputs must be given as many, got ", inputs);
  Require(options.threads >= 1, "threads must be at least 1, got ", options.threads);
}

void Share(const Chain& chain, const ChainOperands& operands, const RunOptions& options) {
  if (operands.batch == 0 || chain.empty()) return;
  const nb::gil_scoped_release release;
  ChainRun run(chain, operands, {options.threads, options.threads});
  WorkOnAll(run);
}

}  // namespace

Precision PrecisionFromName(const std::string& name) {
  if (name == "float32") return Precision::kFloat32;
  if (name == "bfloat16") return Precision::kBfloat16;
  Refuse("precision must be one of float32, bfloat16, got ", name);
}

void CheckShape(const char* name, const Matrix& matrix, int64_t rows, int64_t columns) {
  CheckSize(name, matrix.shape(0), matrix.shape(1), rows, columns);
}

void RunChain(const Chain& chain, const std::vector<Matrix>& inputs,
              const std::vector<Output>& outputs, const float* bias,
              const RunOptions& options) {
  CheckCount(chain, inputs.size(), options);
  ChainOperands operands;
  operands.batch = static_cast<int64_t>(inputs[0].shape(0));
  for (size_t i = 0; i < inputs.size(); ++i) {
    CheckShape("x", inputs[i], operands.batch, chain.features(static_cast<int>(i)));
    operands.inputs.push_back(inputs[i].data());
  }
  Require(outputs.size() == chain.outputs().size(), "a chain of ", chain.outputs().size(),
          " outputs must be given as many, got ", outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Output& y = outputs[i];
    CheckSize("y", y.shape(0), y.shape(1), operands.batch, chain.features(chain.outputs()[i]));
    operands.outputs.push_back(y.data());
  }
  operands.bias = bias;
  operands.form = FormFromName(options.form);
  Share(chain, operands, options);
}

void RunImages(const Chain& chain, const std::vector<FourD>& inputs, const FourDOutput& y,
               const Window& window, const RunOptions& options) {
  CheckCount(chain, inputs.size(), options);
  Check(window);
  const std::vector<int64_t> dims = Shape(inputs[0]);
  const Images images = MakeImages(window, dims, chain.features(0));
  ChainOperands operands;
  operands.images = &images;
  operands.batch = dims[0] * images.places();
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::vector<int64_t> wanted{dims[0], chain.features(static_cast<int>(i)),
                                      images.out_shape[0], images.out_shape[1]};
    Require(i == 0 || Shape(inputs[i]) == wanted, "input ", i, " must have the shape of y");
    operands.inputs.push_back(inputs[i].data());
  }
  const std::vector<int64_t> wanted{dims[0], chain.out_features(), images.out_shape[0],
                                    images.out_shape[1]};
  Require(Shape(y) == wanted, "y must have shape (", wanted[0], ", ", wanted[1], ", ",
          wanted[2], ", ", wanted[3], ")");
  operands.outputs.push_back(y.data());
  Share(chain, operands, options);
}

int64_t Workers(const Chain& chain, int64_t batch, int64_t threads) {
  ChainOperands operands;
  operands.batch = batch;
  return ChainRun(chain, operands, {threads, threads}).workers();
}

std::pair<int64_t, bool> PlannedTile(const Chain& chain, int64_t batch, int64_t threads) {
  const ChainPlan plan = PlanChain(chain, batch, Form::kTiles, {threads, threads}, nullptr);
  const bool code = chain.AnyProduct(
      [&](const MatMul& matmul) { return plan.Weights(matmul).generated != nullptr; });
  return {plan.tile_rows(), code};
}

Result NewMatrix(int64_t rows, int64_t columns) {
  auto* data = new float[std::max<int64_t>(rows * columns, 1)];
  const nb::capsule owner(data,
                          [](void* array) noexcept { delete[] static_cast<float*>(array); });
  const size_t shape[2] = {static_cast<size_t>(rows), static_cast<size_t>(columns)};
  return Result(data, 2, shape, owner);
}

}  // namespace nfcompile::python
