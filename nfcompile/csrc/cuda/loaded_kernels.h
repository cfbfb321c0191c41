// The kernels that have been loaded, by context: each once per process.
#ifndef NFCOMPILE_CUDA_LOADED_KERNELS_H_
#define NFCOMPILE_CUDA_LOADED_KERNELS_H_

#include <string_view>

#include "cuda/driver.h"
#include "cuda/images.h"

namespace nfcompile::cuda {

struct LoadedKernel {
  const Image* image = nullptr;
  Function function = nullptr;
};

// The best image of this symbol for the device of the current context; none if it is for other
// devices only. A cubin that the driver does not take, as it is older than the compiler, is
// replaced by PTX. Throws std::runtime_error where the driver takes neither, or the device is
// older than all kernels.
LoadedKernel LoadKernel(std::string_view symbol);

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_LOADED_KERNELS_H_
