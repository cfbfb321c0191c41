// nfcompile._native.cuda: the products of libnfcompile_ops_cuda, for tests and benchmarks.
#ifndef NFCOMPILE_PYTHON_CUDA_H_
#define NFCOMPILE_PYTHON_CUDA_H_

#include <nanobind/nanobind.h>

namespace nfcompile::python {

void BindCuda(nanobind::module_& m);

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_CUDA_H_
