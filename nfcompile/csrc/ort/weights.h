// From a node of the model to a packed product: reads attributes and constant inputs.
#ifndef NFCOMPILE_ORT_WEIGHTS_H_
#define NFCOMPILE_ORT_WEIGHTS_H_

#include <memory>
#include <optional>
#include <string>

#include "kernels/epilogue.h"
#include "kernels/matmul.h"
#include "ort/api.h"

namespace nfcompile::ort {

enum class Family { kCsr, kBsr, kBlockDiagonal };

// A node as the constructor of its kernel sees it.
class Node {
 public:
  Node(const Api& api, const OrtKernelInfo* info) : api_(api), info_(info) {}

  std::string Name() const;
  int64_t Int(const char* name) const;  // throws std::invalid_argument where absent
  int64_t Int(const char* name, int64_t otherwise) const;
  float Float(const char* name, float otherwise) const;
  std::string String(const char* name, const char* otherwise) const;

  // A constant input; nothing where an optional input is absent. Throws std::invalid_argument
  // where it is not a constant initializer.
  std::optional<Tensor> Constant(size_t index, const char* name) const;

 private:
  const Api& api_;
  const OrtKernelInfo* info_;
};

// Throws std::invalid_argument on malformed weights.
std::unique_ptr<MatMul> PackNode(Family family, const Node& node);

// The constant part of the epilogue: without bias and residual.
Epilogue ReadEpilogue(const Node& node);

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_WEIGHTS_H_
