// Runs every kernel on odd shapes against its scalar twin; built with ASan and UBSan by
// -DNFCOMPILE_SANITIZE=ON. Operands sit in exact allocations, so that one element too far is
// seen. Exits 1 on a wrong result.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "base/isa.h"
#include "kernels/block_diagonal/block_diagonal.h"
#include "kernels/bsr/bsr.h"
#include "kernels/chain/chain_run.h"
#include "kernels/csr/csr.h"

namespace nfcompile {

int64_t StressAttention();    // stress_attention.cc
int64_t StressChain();        // stress_chain.cc
int64_t StressImages();       // stress_images.cc
int64_t StressCsrTraining();  // stress_csr_training.cc

namespace {

using Factory = std::function<MatMul(Isa, Precision)>;

std::mt19937 generator(1);

// Exact in bf16, so that sums in either precision are of the same products.
float Normal() {
  return FromBfloat16(ToBfloat16(std::normal_distribution<float>()(generator)));
}

std::vector<float> Normals(int64_t size) {
  std::vector<float> values(size);
  for (float& value : values) value = Normal();
  return values;
}

std::vector<float> Run(const std::shared_ptr<const MatMul>& matmul, const std::vector<float>& x,
                       const std::vector<float>& bias, const std::vector<float>* residual,
                       int64_t batch, const Epilogue& epilogue, Form form, int64_t threads) {
  std::vector<float> y(batch * matmul->out_features, std::nanf(""));
  ChainLayer layer;
  layer.matmul = matmul;
  layer.epilogue = epilogue;
  layer.bias = bias;
  ChainOperands operands;
  operands.inputs.push_back(x.data());
  std::vector<int64_t> inputs{matmul->in_features};
  if (residual != nullptr) {
    layer.residual = 1;
    operands.inputs.push_back(residual->data());
    inputs.push_back(matmul->out_features);
  }
  operands.outputs.push_back(y.data());
  operands.batch = batch;
  operands.form = form;
  const Chain chain(inputs, {layer});
  ChainRun run(chain, operands, {threads, threads});
  std::vector<std::thread> helpers;
  for (int64_t i = 1; i < run.workers(); ++i) helpers.emplace_back([&, i] { run.Work(i); });
  run.Work(0);
  for (std::thread& helper : helpers) helper.join();
  return y;
}

int64_t CompareOne(const std::shared_ptr<const MatMul>& twin,
                   const std::shared_ptr<const MatMul>& matmul) {
  int64_t failures = 0;
  for (const int64_t batch : {1, 2, 7, 8, 9, 17, 33, 70}) {
    const std::vector<float> x = Normals(batch * matmul->in_features);
    const std::vector<float> bias = Normals(matmul->out_features);
    const std::vector<float> residual = Normals(batch * matmul->out_features);
    for (int32_t activation = 0; activation <= 10; ++activation) {
      Epilogue epilogue;
      epilogue.activation = static_cast<Activation>(activation);
      epilogue.alpha = -0.5f;
      epilogue.beta = 0.75f;
      epilogue.residual_mode = static_cast<ResidualMode>(activation % 3);
      const auto* added = activation % 4 == 3 ? nullptr : &residual;
      const std::vector<float> shift = activation % 2 == 0 ? bias : std::vector<float>();
      const std::vector<float> expected =
          Run(twin, x, shift, added, batch, epilogue, Form::kRows, 1);
      for (const Form form : {Form::kRows, Form::kTiles}) {
        const std::vector<float> got =
            Run(matmul, x, shift, added, batch, epilogue, form, 1 + activation % 3);
        for (size_t i = 0; i < got.size(); ++i) {
          const float allowed = 1e-4f * (1.0f + std::fabs(expected[i]));
          if (!(std::fabs(got[i] - expected[i]) <= allowed)) ++failures;
        }
      }
    }
  }
  return failures;
}

int64_t Compare(const char* what, const Factory& make) {
  int64_t failures = 0;
  const auto twin = std::make_shared<const MatMul>(make(Isa::kScalar, Precision::kFloat32));
  for (const Isa isa : TestIsas()) {
    for (const Precision precision : {Precision::kFloat32, Precision::kBfloat16}) {
      failures += CompareOne(twin, std::make_shared<const MatMul>(make(isa, precision)));
    }
  }
  if (failures > 0) std::printf("%s: %ld wrong\n", what, static_cast<long>(failures));
  return failures;
}

int64_t StressCsr(int64_t out, int64_t in, double density) {
  std::vector<float> values;
  std::vector<uint16_t> indices;
  std::vector<int32_t> indptr{0};
  std::bernoulli_distribution stored(density);
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t i = 0; i < in; ++i) {
      if (!stored(generator)) continue;
      values.push_back(Normal());
      indices.push_back(static_cast<uint16_t>(i));
    }
    indptr.push_back(static_cast<int32_t>(values.size()));
  }
  const auto nnz = static_cast<int64_t>(values.size());
  return Compare("csr", [&](Isa isa, Precision precision) {
    return MakeCsrMatMul({values.data(),
                          nnz,
                          {indices.data(), nnz, IndexType::kUint16},
                          {indptr.data(), out + 1, IndexType::kInt32},
                          in},
                         isa, precision);
  });
}

int64_t StressBsr(int64_t block_rows, int64_t block_columns) {
  constexpr int64_t kRows = 5;
  constexpr int64_t kColumns = 7;
  std::vector<uint8_t> indices;
  std::vector<int64_t> indptr{0};
  std::bernoulli_distribution stored(0.4);
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < kColumns; ++j) {
      if (stored(generator)) indices.push_back(static_cast<uint8_t>(j));
    }
    indptr.push_back(static_cast<int64_t>(indices.size()));
  }
  const auto blocks = static_cast<int64_t>(indices.size());
  const std::vector<float> values = Normals(blocks * block_rows * block_columns);
  return Compare("bsr", [&](Isa isa, Precision precision) {
    return MakeBsrMatMul({values.data(),
                          blocks,
                          block_rows,
                          block_columns,
                          {indices.data(), blocks, IndexType::kUint8},
                          {indptr.data(), kRows + 1, IndexType::kInt64},
                          kColumns * block_columns},
                         isa, precision);
  });
}

int64_t StressBlockDiagonal(int64_t blocks, int64_t block_rows, int64_t block_columns,
                            int64_t row_stride, int64_t col_stride) {
  const std::vector<float> values = Normals(blocks * block_rows * block_columns);
  return Compare("block_diagonal", [&](Isa isa, Precision precision) {
    return MakeBlockDiagonalMatMul({values.data(),
                                    blocks,
                                    block_rows,
                                    block_columns,
                                    {false, {}, row_stride},
                                    {false, {}, col_stride},
                                    blocks * block_columns,
                                    blocks * block_rows},
                                   isa, precision);
  });
}

int64_t StressLists(int64_t blocks, int64_t block_rows, int64_t block_columns) {
  std::vector<int32_t> rows(blocks * block_rows);
  std::vector<int32_t> cols(blocks * block_columns);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i) - 2;
  for (size_t i = 0; i < cols.size(); ++i) cols[i] = static_cast<int32_t>(i) - 3;
  for (int32_t& row : rows) row = row < 0 ? -1 : row;
  for (int32_t& col : cols) col = col < 0 ? -1 : col;
  std::shuffle(rows.begin(), rows.end(), generator);
  std::shuffle(cols.begin(), cols.end(), generator);
  const std::vector<float> values = Normals(blocks * block_rows * block_columns);
  const auto row_count = static_cast<int64_t>(rows.size());
  const auto col_count = static_cast<int64_t>(cols.size());
  return Compare("block_diagonal lists", [&](Isa isa, Precision precision) {
    return MakeBlockDiagonalMatMul({values.data(),
                                    blocks,
                                    block_rows,
                                    block_columns,
                                    {true, {rows.data(), row_count, IndexType::kInt32}, 0},
                                    {true, {cols.data(), col_count, IndexType::kInt32}, 0},
                                    col_count - 3,
                                    row_count - 2},
                                   isa, precision);
  });
}

int64_t Stress() {
  int64_t failures = StressAttention() + StressCsrTraining() + StressChain() + StressImages();
  for (const int64_t out : {1, 7, 8, 65, 130}) {
    for (const int64_t in : {1, 9, 16, 1000}) {
      for (const double density : {0.0, 0.03, 0.5}) failures += StressCsr(out, in, density);
    }
  }
  failures += StressCsr(150, 1100, 0.45);  // code for large batches beside the table
  failures += StressCsr(150, 1100, 0.05);  // rows in several panels
  failures += StressCsr(4500, 40, 0.1);    // a result of several stripes
  for (const int64_t r : {1, 3, 8, 11, 16, 40}) {
    for (const int64_t c : {1, 3, 8, 16, 17, 32}) failures += StressBsr(r, c);
  }
  for (const int64_t radix : {1, 2, 3, 4, 8, 16, 19, 32}) {
    for (const int64_t row_stride : {1, 2, 4, 8, 16, 32}) {
      for (const int64_t col_stride : {row_stride, int64_t{1}, int64_t{32}}) {
        failures += StressBlockDiagonal(32, radix, radix, row_stride, col_stride);
      }
    }
    failures += StressLists(9, radix + 2, radix + 3);
    failures += StressLists(3, radix + 8, 5);
  }
  return failures;
}

}  // namespace
}  // namespace nfcompile

int main() {
  const int64_t failures = nfcompile::Stress();
  std::printf("%ld wrong results\n", static_cast<long>(failures));
  return failures == 0 ? 0 : 1;
}
