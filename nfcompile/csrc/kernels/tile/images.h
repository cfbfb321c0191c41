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
#include <limits>

// Kernels of all instruction sets call it: a copy that is not inlined would serve all of them.
#define NFCOMPILE_ALWAYS_INLINE __attribute__((always_inline)) inline

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

// Images [n, channels, rows.size, columns.size], contiguous; or as tiles have them, [vector of
// pixels, channels + 1, pixel of the vector], over the pixels of all images one after the
// other.
//
// Places are counted line by line, of one image after the other; or a gap is counted behind
// each line, whose places do not exist, and the lines of `side` images take turns.
struct Images {
  int64_t channels = 0;
  WindowAxis rows;
  WindowAxis columns;
  int64_t out_shape[2] = {1, 1};  // places of the window along both axes
  int64_t gap = 0;
  int64_t side = 1;
  int64_t count = std::numeric_limits<int64_t>::max();  // where lines of more are counted
  bool tiled = false;

  int64_t taps() const { return rows.kernel * columns.kernel; }
  int64_t features() const { return channels * taps(); }
  int64_t pixels() const { return rows.size * columns.size; }
  int64_t places() const { return rows.out * columns.out; }
  int64_t line() const { return columns.out + gap; }

  // Whether each place of the window is the pixel of the same number.
  bool pointwise() const {
    const auto plain = [](const WindowAxis& axis) {
      return axis.kernel == 1 && axis.stride == 1 && axis.pad == 0 && axis.out == axis.size;
    };
    return plain(rows) && plain(columns);
  }

  // Floats from one channel to the next; `width`: pixels of a vector.
  int64_t ChannelDistance(int64_t width) const { return tiled ? width : pixels(); }
  // Where a pixel of the first channel lies.
  NFCOMPILE_ALWAYS_INLINE int64_t Offset(int64_t image, int64_t pixel, int64_t width) const {
    if (!tiled) return image * channels * pixels() + pixel;
    const int64_t all = image * pixels() + pixel;
    return all / width * (channels + 1) * width + all % width;
  }
  // How many pixels from this one on are neighbours in memory; at most `most`.
  NFCOMPILE_ALWAYS_INLINE int64_t Neighbours(int64_t image, int64_t pixel, int64_t width,
                                             int64_t most) const {
    const int64_t left = width - (image * pixels() + pixel) % width;
    return tiled && left < most ? left : most;
  }
};

// One place after the other, in the order in which they are counted.
class PlaceWalk {
 public:
  NFCOMPILE_ALWAYS_INLINE PlaceWalk(const Images& images, int64_t place)
      : images_(images), column_(place % images.line()) {
    const int64_t line = place / images.line();
    const int64_t turn = images.rows.out * images.side;
    row_ = line % turn / images.side;
    beside_ = line % images.side;
    first_ = line / turn * images.side;
  }

  NFCOMPILE_ALWAYS_INLINE int64_t image() const { return first_ + beside_; }
  NFCOMPILE_ALWAYS_INLINE int64_t row() const { return row_; }
  NFCOMPILE_ALWAYS_INLINE int64_t column() const { return column_; }
  NFCOMPILE_ALWAYS_INLINE bool exists() const {
    return column_ < images_.columns.out && image() < images_.count;
  }

  // How many places of this line, this one and the next ones, all exist or all do not; at most
  // `most`.
  NFCOMPILE_ALWAYS_INLINE int64_t Run(int64_t most) const {
    const int64_t end = column_ < images_.columns.out ? images_.columns.out : images_.line();
    return end - column_ < most ? end - column_ : most;
  }

  // By at most what Run gives.
  NFCOMPILE_ALWAYS_INLINE void Advance(int64_t places) {
    column_ += places;
    if (column_ < images_.line()) return;
    column_ = 0;
    if (++beside_ < images_.side) return;
    beside_ = 0;
    if (++row_ < images_.rows.out) return;
    row_ = 0;
    first_ += images_.side;
  }

 private:
  const Images& images_;
  int64_t first_ = 0;  // of the images whose lines take turns
  int64_t beside_ = 0;
  int64_t row_ = 0;
  int64_t column_ = 0;
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
  if (!images.pointwise()) return images;
  Images flat = PointImages(images.channels, images.pixels());
  flat.out_shape[0] = images.rows.out;
  flat.out_shape[1] = images.columns.out;
  return flat;
}

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_IMAGES_H_
