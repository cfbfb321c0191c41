// nfcompile._native.attention.
#ifndef NFCOMPILE_PYTHON_ATTENTION_H_
#define NFCOMPILE_PYTHON_ATTENTION_H_

#include "python/arrays.h"

namespace nfcompile::python {

void BindAttention(nb::module_& m);

}  // namespace nfcompile::python

#endif  // NFCOMPILE_PYTHON_ATTENTION_H_
