// The measured limits of this machine, for benchmarks.
#ifndef NFCOMPILE_PYTHON_ROOFLINE_H_
#define NFCOMPILE_PYTHON_ROOFLINE_H_

#include <nanobind/nanobind.h>

namespace nfcompile::python {

void BindRoofline(nanobind::module_& m);

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_ROOFLINE_H_
