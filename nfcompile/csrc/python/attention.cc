#include "python/attention.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <string>
#include <vector>

#include "kernels/attention/attention_run.h"
#include "python/run.h"

namespace nfcompile::python {
namespace {

using nanobind::literals::operator""_a;

// Of three dimensions or four.
using Tokens = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;
using TokensOutput = nb::ndarray<float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;

void RunAttention(const Tokens& q, const Tokens& k, const Tokens& v, const TokensOutput& y,
                  int64_t heads, const std::optional<FourD>& bias, std::optional<float> scale,
                  int64_t threads, const std::string& isa, const std::string& precision,
                  bool nan_is_zero) {
  const AttentionKernel& kernel =
      FindAttentionKernel(IsaFromName(isa), PrecisionFromName(precision));
  Require(threads >= 1, "threads must be at least 1, got ", threads);
  std::optional<std::vector<int64_t>> bias_dims;
  if (bias) bias_dims = Shape(*bias);
  Attention attention = ShapeAttention(heads, scale, Shape(q), Shape(k), Shape(v), bias_dims);
  const std::vector<int64_t> wanted{attention.batch, attention.queries,
                                    heads * attention.value_size};
  Require(Shape(y) == wanted, "y must have shape (", wanted[0], ", ", wanted[1], ", ",
          wanted[2], ")");
  attention.nan_is_zero = nan_is_zero;
  attention.q.data = q.data();
  attention.k.data = k.data();
  attention.v.data = v.data();
  if (bias) attention.bias.data = bias->data();
  attention.y = y.data();
  const nb::gil_scoped_release release;
  AttentionRun run(attention, kernel, {threads, threads});
  WorkOnAll(run);
}

}  // namespace

void BindAttention(nb::module_& m) {
  m.def("attention", &RunAttention, "q"_a.noconvert(), "k"_a.noconvert(), "v"_a.noconvert(),
        "y"_a.noconvert(), nb::kw_only(), "heads"_a, "bias"_a.noconvert().none() = nb::none(),
        "scale"_a = nb::none(), "threads"_a = 1, "isa"_a = "", "precision"_a = "float32",
        "nan_is_zero"_a = false);
}

}  // namespace nfcompile::python
