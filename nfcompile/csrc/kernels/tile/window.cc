#include "kernels/tile/window.h"

#include "base/text.h"

namespace nfcompile {
namespace {

void CheckList(const char* name, const std::vector<int64_t>& list, size_t size, int64_t least) {
  Require(list.size() == size, name, " must have ", size, " entries, got ", list.size());
  for (const int64_t entry : list) {
    Require(entry >= least, name, " must be at least ", least, ", got ", entry);
  }
}

}  // namespace

void Check(const Window& window) {
  CheckList("kernel_shape", window.kernel_shape, 2, 1);
  CheckList("strides", window.strides, 2, 1);
  CheckList("dilations", window.dilations, 2, 1);
  CheckList("pads", window.pads, 4, 0);
}

WindowAxis Places(const Window& window, size_t axis, int64_t size) {
  WindowAxis made;
  made.size = size;
  made.kernel = window.kernel_shape[axis];
  made.stride = window.strides[axis];
  made.dilation = window.dilations[axis];
  made.pad = window.pads[axis];
  const int64_t reach = made.dilation * (made.kernel - 1) + 1;
  const int64_t padded = size + made.pad + window.pads[axis + 2];
  Require(padded >= reach, "images of padded size ", padded, " are smaller than the window, ",
          reach);
  made.out = (padded - reach) / made.stride + 1;
  return made;
}

Images MakeImages(const Window& window, const std::vector<int64_t>& dims, int64_t features) {
  Require(dims.size() == 4, "X must have 4 dimensions, got ", dims.size());
  Images images;
  images.channels = dims[1];
  images.rows = Places(window, 0, dims[2]);
  images.columns = Places(window, 1, dims[3]);
  images.out_shape[0] = images.rows.out;
  images.out_shape[1] = images.columns.out;
  Require(images.features() == features, "X must have ", features / images.taps(),
          " channels, got ", dims[1]);
  return Flattened(images);
}

}  // namespace nfcompile
