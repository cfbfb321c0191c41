#include <string_view>

#include "cuda/images.h"

namespace nfcompile::cuda {

const Image* FindImage(std::string_view symbol, int architecture, bool ptx_only) {
  const Image* best = nullptr;
  for (const Image& image : Images()) {
    if (image.symbol != symbol || image.architecture > architecture) continue;
    const bool native = image.architecture / 10 == architecture / 10;
    if (image.is_ptx == 0 && (ptx_only || !native)) continue;
    if (best == nullptr || best->is_ptx > image.is_ptx ||
        (best->is_ptx == image.is_ptx && best->architecture < image.architecture)) {
      best = &image;
    }
  }
  return best;
}

}  // namespace nfcompile::cuda
