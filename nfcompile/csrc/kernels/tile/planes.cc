#include "kernels/tile/planes.h"

#include <algorithm>

#include "base/partition.h"

namespace nfcompile {
namespace {

// Columns that one piece of code reads, a tap of a plane counted as one: with the code they fit
// a first-level cache.
constexpr int64_t kPanelTaps = 512;
// Images lie beside each other until as many places share tiles, so that few vectors are filled
// in part.
constexpr int64_t kSegmentPlaces = 1024;
constexpr int kFewestVectors = 4;
// Of a channel: each takes room in every tile.
constexpr int64_t kMostPlanes = 16;

// What a tap reads along one axis: which of `stride` planes, and how many places further on.
struct AxisTap {
  int64_t plane;
  int64_t shift;
};

AxisTap TapOf(int64_t stride, int64_t dilation, int64_t i) {
  return {i * dilation % stride, i * dilation / stride};
}

int64_t LastShift(const WindowAxis& axis) {
  return TapOf(axis.stride, axis.dilation, axis.kernel - 1).shift;
}

// Pixels of the planes of an axis at `out` places.
WindowAxis PlaneAxis(const WindowAxis& axis, int64_t out) {
  WindowAxis plane;
  plane.size = axis.size;
  plane.kernel = axis.stride;
  plane.stride = axis.stride;
  plane.pad = axis.pad;
  plane.out = out;
  return plane;
}

}  // namespace

bool HasPlanes(const Window& window) {
  const int64_t taps = window.kernel_shape[0] * window.kernel_shape[1];
  const int64_t planes = window.strides[0] * window.strides[1];
  return taps > 1 && taps >= planes && planes <= kMostPlanes;
}

Columns ToPlanes(const Window& window, int64_t in_features, std::vector<Entry>& entries) {
  const int64_t width = window.kernel_shape[1];
  const int64_t taps = window.kernel_shape[0] * width;
  const int64_t planes = window.strides[0] * window.strides[1];
  for (Entry& entry : entries) {
    const int64_t tap = entry.column % taps;
    const int64_t row = TapOf(window.strides[0], window.dilations[0], tap / width).plane;
    const int64_t column = TapOf(window.strides[1], window.dilations[1], tap % width).plane;
    entry.column =
        static_cast<int32_t>(entry.column / taps * planes + row * window.strides[1] + column);
    entry.tap = static_cast<int32_t>(tap);
  }
  return {.count = in_features / taps * planes,
          .distance = kPlaneFloats,
          .panel = std::max<int64_t>(kPanelTaps / taps, 1) * planes,
          .taps = taps};
}

std::optional<Planes> ArrangePlanes(const Images& images, int64_t count) {
  const WindowAxis& rows = images.rows;
  const WindowAxis& columns = images.columns;
  const int64_t down = LastShift(rows);
  const int64_t across = LastShift(columns);
  // Left of a line, so many places see zeros in all planes.
  const int64_t zeros = columns.pad / columns.stride;
  const int64_t line = std::max({columns.out, columns.out + across - zeros,
                                 CeilDiv(columns.size + columns.pad, columns.stride)});
  const auto halo = [&](int64_t side) { return down * side * line + across; };
  const auto vectors = [&](int64_t side) {
    return (kPlaneFloats - halo(side)) / kGeneratedLanes;
  };
  int64_t side = 1;
  while (side < count && side * rows.out * line < kSegmentPlaces &&
         vectors(side + 1) >= kMaxTileVectors) {
    ++side;
  }
  Planes planes;
  planes.segments = CeilDiv(count, side);
  side = CeilDiv(count, planes.segments);  // even ones
  planes.segment = rows.out * side * line;
  planes.halo = halo(side);
  const int64_t all = CeilDiv(planes.segment, kGeneratedLanes);
  const int64_t fit = std::min<int64_t>(vectors(side), kMaxTileVectors);
  if (fit < std::min<int64_t>(all, kFewestVectors)) return std::nullopt;
  planes.most_vectors = static_cast<int>(fit);
  planes.places = PointImages(0, columns.out);
  planes.places.rows.size = rows.out;
  planes.places.rows.out = rows.out;
  planes.places.gap = line - columns.out;
  planes.pixels.channels = images.channels;
  planes.pixels.tiled = images.tiled;
  planes.pixels.rows = PlaneAxis(rows, rows.out + down);
  planes.pixels.columns = PlaneAxis(columns, line);
  for (Images* counted : {&planes.places, &planes.pixels}) {
    counted->side = side;
    counted->count = count;
  }
  for (int64_t i = 0; i < rows.kernel; ++i) {
    const int64_t below = TapOf(rows.stride, rows.dilation, i).shift * side * line;
    for (int64_t j = 0; j < columns.kernel; ++j) {
      const int64_t places = below + TapOf(columns.stride, columns.dilation, j).shift;
      planes.taps.push_back(places * static_cast<int64_t>(sizeof(float)));
    }
  }
  return planes;
}

Range Planes::Reach(Range rows) const {
  const int64_t planes_segment = pixels.rows.out * pixels.side * pixels.line();
  const int64_t begin = rows.begin / segment * planes_segment + rows.begin % segment;
  const int64_t whole = CeilDiv(rows.size(), kGeneratedLanes) * kGeneratedLanes;
  return {begin, begin + whole + halo};
}

}  // namespace nfcompile
