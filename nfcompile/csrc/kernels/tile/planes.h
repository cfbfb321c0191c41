// Convolutions without windows: a tile holds each pixel once, and generated code reads it where
// the taps of the window find it.
//
//   plane[(c, a, b), (p, q)] = image[c, p * stride + a - pad, q * stride + b - pad]
//
// with a, b < stride. What tap (i, j) reads of channel c at place (p, q) is plane (c, a, b) at
// (p + i', q + j'), where i * dilation = i' * stride + a, and j likewise. Where a line of
// places is counted as long as a line of a plane, that is the same distance for all places. The
// zeros on the left of a line serve as those on the right of the line before: so one place in a
// hundred does not exist where lines have 100 pixels, and one in eight where they have 7, of
// small images beside each other.
#ifndef NFCOMPILE_KERNELS_TILE_PLANES_H_
#define NFCOMPILE_KERNELS_TILE_PLANES_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/generated/generated_rows.h"
#include "kernels/tile/images.h"
#include "kernels/tile/tile.h"
#include "kernels/tile/window.h"

namespace nfcompile {

constexpr int64_t kPlaneFloats = kMaxPlaneVectors * kGeneratedLanes;

// Whether a window has planes: it has several taps, and no fewer than there are planes.
bool HasPlanes(const Window& window);

// The entries of a weight over windows as those of one over planes, and how these lie.
Columns ToPlanes(const Window& window, int64_t in_features, std::vector<Entry>& entries);

// The planes of some images.
struct Planes {
  Images places;  // windows of one pixel, counted as the tiles count them: y and the residual
  Images pixels;  // what a tile gathers: its features are the planes
  std::vector<int64_t> taps;  // bytes from a place to what each tap reads
  int64_t segment = 0;        // places of images beside each other, which share tiles
  int64_t segments = 0;
  int64_t halo = 0;      // how far taps reach behind a place
  int most_vectors = 0;  // of a tile

  // The places of the planes that the taps of places `rows`, of one segment, may read.
  Range Reach(Range rows) const;
};

// Of `count` images; nothing where too few places of a tile are left beside what taps reach.
std::optional<Planes> ArrangePlanes(const Images& images, int64_t count);

}  // namespace nfcompile

#endif  // NFCOMPILE_KERNELS_TILE_PLANES_H_
