// Shape inference: Y has X's shape, with the output features in place of the input's, and the
// places of the window in place of the image's axes. For attention, Q's with V's last
// dimension.
#ifndef NFCOMPILE_ORT_SHAPE_H_
#define NFCOMPILE_ORT_SHAPE_H_

#include "ort/operator.h"

namespace nfcompile::ort {

void InferOutputShape(const Operator& op, OrtShapeInferContext* context);

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_SHAPE_H_
