#include "cuda/images.h"

// The folder that nfcompile.gpu.aot wrote is on the path of includes, and of the assembler.
asm(".pushsection .rodata\n"
    ".balign 16\n"
    "nfcompile_cuda_images:\n"
    ".incbin \"" NFCOMPILE_CUDA_IMAGES
    "\"\n"
    ".byte 0\n"  // ends the last PTX
    ".popsection\n");

extern "C" __attribute__((visibility("hidden"))) const unsigned char nfcompile_cuda_images[];

namespace nfcompile::cuda {
namespace {

constexpr Image kImages[] = {
#include "images.inc"
};

}  // namespace

std::span<const Image> Images() { return kImages; }

const void* Data(const Image& image) { return nfcompile_cuda_images + image.offset; }

}  // namespace nfcompile::cuda

// For the Python module, which would otherwise embed the images once more.
extern "C" __attribute__((visibility("default"))) const nfcompile::cuda::Image*
NfcompileCudaImages(size_t* count, const void** data) {
  const auto images = nfcompile::cuda::Images();
  *count = images.size();
  *data = nfcompile_cuda_images;
  return images.data();
}
