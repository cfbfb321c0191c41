// libnfcompile_ops: the operators for the CPU, and nothing else.
#include "ort/operator.h"

namespace nfcompile::ort {

std::list<Operator> MakeOperators(const Api& api, bool infer_shapes) {
  std::list<Operator> operators;
  AddCpuOperators(api, infer_shapes, /*products=*/true, operators);
  return operators;
}

}  // namespace nfcompile::ort
