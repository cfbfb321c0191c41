// The kernels of a training step, for nfcompile.nn.
#ifndef NFCOMPILE_PYTHON_TRAINING_H_
#define NFCOMPILE_PYTHON_TRAINING_H_

#include <nanobind/nanobind.h>

namespace nfcompile::python {

void BindTraining(nanobind::module_& m);

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_TRAINING_H_
