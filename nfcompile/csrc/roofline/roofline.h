// What this machine can do at most, measured: arithmetic in registers, and reading memory.
//
// A product of F flops over B bytes takes at least max(F / flops per second, B / bandwidth).
#ifndef NFCOMPILE_ROOFLINE_ROOFLINE_H_
#define NFCOMPILE_ROOFLINE_ROOFLINE_H_

#include <cstdint>
#include <string>
#include <vector>

namespace nfcompile::roofline {

// The arithmetic that this machine has, as <dtype>-<isa>, plain loops first.
std::vector<std::string> Arithmetic();

// Flops per second of all `threads` together, the best of many short samples within about
// `seconds`. Throws std::invalid_argument where the machine lacks that arithmetic.
double MeasureFlops(const std::string& name, double seconds, int64_t threads);

// Bytes per second of all `threads` together, each reading a buffer of its own of `bytes`
// (rounded up to 1 KiB) again and again with the widest selected vectors, on huge pages.
double MeasureReadBandwidth(int64_t bytes, double seconds, int64_t threads);

}  // namespace nfcompile::roofline

#endif  // NFCOMPILE_ROOFLINE_ROOFLINE_H_
