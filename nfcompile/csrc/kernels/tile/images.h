// Convolutions as products over tiles: what a window sees of images is a column of x.
//
//   x[(c, i, j), (n, p, q)] = image[n, c, p * stride + i * dilation - pad, q * ...]
//
// Feature (c, i, j) is the element at (i, j) of the window in channel c, and batch row (n, p,
// q) a place of the window in image n. Outside an image x is zero. So a convolution is y = W x
// with W of [out, channels * kernel height * kernel width], for every encoding.
#ifndef NFCOMPILE_KERNELS_TILE_IMAGES_H_
#define NFCOMPILE_KERNELS_TILE_IMAGES_H_

#include <cstdint>

namespace nfcompile {

// One axis of the window and of the images under it.
struct WindowAxis {
  int64_t size = 1;  // of an image
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad = 0;  // in front
  int64_t out = 1;  // places of the window
};

// Images [n, channels, rows.size, columns.size], contiguous.
struct Images {
  int64_t channels = 0;
  WindowAxis rows;
  WindowAxis columns;
  int64_t out_shape[2] = {1, 1};  // places of the window along both axes

  int64_t taps() const { return rows.kernel * columns.kernel; }
  int64_t features() const { return channels * taps(); }
  int64_t pixels() const { return rows.size * columns.size; }
  int64_t places() const { return rows.out * columns.out; }
};

// A window of one pixel over `places` of them: what y and the residual are.
inline Images PointImages(int64_t channels, int64_t places) {
  Images images;
  images.channels = channels;
  images.columns.size = places;
  images.columns.out = places;
  images.out_shape[1] = places;
  return images;
}

// The same images where each place of the window is a pixel of its own: one long row, so that
// neighbouring places stay neighbours from one row to the next.
inline Images Flattened(const Images& images) {
  const auto plain = [](const WindowAxis& axis) {
    return axis.kernel == 1 && axis.stride == 1 && axis.out == axis.size;
  };
  if (!plain(images.rows) || !plain(images.columns)) return images;
  Images flat = PointImages(images.channels, images.pixels());
  flat.out_shape[0] = images.rows.out;
  flat.out_shape[1] = images.columns.out;
  return flat;
}

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_IMAGES_H_
