// Runs a chain on numpy arrays, with as many threads as are asked for.
#ifndef NFCOMPILE_PYTHON_RUN_H_
#define NFCOMPILE_PYTHON_RUN_H_

#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/chain/chain_run.h"
#include "kernels/tile/window.h"
#include "python/arrays.h"

namespace nfcompile::python {

// How a run is to be done, apart from its operands.
struct RunOptions {
  int64_t threads = 1;
  std::string form = "auto";  // or "rows", "tiles"
};

// Throws std::invalid_argument where shapes do not fit. `bias` is of the first layer, or null.
void RunChain(const Chain& chain, const std::vector<Matrix>& inputs,
              const std::vector<Output>& outputs, const float* bias, const RunOptions& options);

// The same on images [n, channels, height, width]. Throws std::invalid_argument, too, where the
// window does not fit.
void RunImages(const Chain& chain, const std::vector<FourD>& inputs, const FourDOutput& y,
               const Window& window, const RunOptions& options);

// The number of threads that can be of use.
int64_t Workers(const Chain& chain, int64_t batch, int64_t threads);

// Batch rows of a tile, and whether any product runs as code on it.
std::pair<int64_t, bool> PlannedTile(const Chain& chain, int64_t batch, int64_t threads);

// Calls run.Work on as many threads as can be of use. Throws std::bad_alloc.
template <typename Run>
void WorkOnAll(Run& run) {
  {
    std::vector<std::jthread> helpers;
    for (int64_t i = 1; i < run.workers(); ++i) helpers.emplace_back([&, i] { run.Work(i); });
    run.Work(0);
  }
  if (run.out_of_memory()) throw std::bad_alloc();
}

// "float32" or "bfloat16"; throws std::invalid_argument for another name.
Precision PrecisionFromName(const std::string& name);

void CheckShape(const char* name, const Matrix& matrix, int64_t rows, int64_t columns);

// A new array of this shape, not initialized.
Result NewMatrix(int64_t rows, int64_t columns);

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_RUN_H_
