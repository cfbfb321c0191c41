// The attributes of a convolution, and the images that it finds in an input.
#ifndef NFCOMPILE_KERNELS_TILE_WINDOW_H_
#define NFCOMPILE_KERNELS_TILE_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/tile/images.h"

namespace nfcompile {

// As of ONNX's Conv, for two axes.
struct Window {
  std::vector<int64_t> kernel_shape;
  std::vector<int64_t> strides;
  std::vector<int64_t> dilations;
  std::vector<int64_t> pads;  // in front of both axes, then behind them
};

// Throws std::invalid_argument where a list has not its number of entries, or a bad one.
void Check(const Window& window);

// One axis of images of this size. Throws std::invalid_argument where the window is larger.
WindowAxis Places(const Window& window, size_t axis, int64_t size);

// Images of shape `dims` [n, channels, height, width] for a product that reads `features`.
// Throws std::invalid_argument where they do not fit or are smaller than the window.
Images MakeImages(const Window& window, const std::vector<int64_t>& dims, int64_t features);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_WINDOW_H_
