// A node of the model as the constructor of its kernel sees it: attributes and constant inputs.
#ifndef NFCOMPILE_ORT_NODE_H_
#define NFCOMPILE_ORT_NODE_H_

#include <optional>
#include <string>
#include <vector>

#include "ort/api.h"

namespace nfcompile::ort {

class Node {
 public:
  Node(const Api& api, const OrtKernelInfo* info) : api_(api), info_(info) {}

  std::string Name() const;
  size_t InputCount() const;
  size_t OutputCount() const;
  std::string InputName(size_t index) const;  // "" where an optional input is absent

  int64_t Int(const char* name) const;  // throws std::invalid_argument where absent
  int64_t Int(const char* name, int64_t otherwise) const;
  float Float(const char* name, float otherwise) const;
  std::string String(const char* name, const char* otherwise) const;

  // Lists; they throw std::invalid_argument where there are not `size` entries.
  std::vector<int64_t> Ints(const char* name, size_t size) const;
  std::vector<float> Floats(const char* name, size_t size) const;
  std::vector<int64_t> Ints(const char* name) const;       // of any length; empty where absent
  std::vector<std::string> Words(const char* name) const;  // of a text with commas between

  // A constant input; nothing where an optional input is absent. Throws std::invalid_argument
  // where it is not a constant initializer.
  std::optional<Tensor> Constant(size_t index, const char* name) const;

 private:
  const Api& api_;
  const OrtKernelInfo* info_;
};

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_NODE_H_
