#include "python/roofline.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "roofline/roofline.h"

namespace nfcompile::python {

using nanobind::literals::operator""_a;

void BindRoofline(nanobind::module_& m) {
  using Unlocked = nanobind::call_guard<nanobind::gil_scoped_release>;
  m.def("arithmetic", &roofline::Arithmetic);
  m.def("measure_flops", &roofline::MeasureFlops, "name"_a, nanobind::kw_only(), "seconds"_a,
        "threads"_a = 1, Unlocked());
  m.def("measure_read_bandwidth", &roofline::MeasureReadBandwidth, "size"_a,
        nanobind::kw_only(), "seconds"_a, "threads"_a = 1, Unlocked());
}

}  // namespace nfcompile::python
