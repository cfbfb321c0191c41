#include "cuda/element_type.h"

#include <cstring>

#include "base/text.h"
#include "kernels/precision.h"

namespace nfcompile::cuda {
const char* Name(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return "f32";
    case ElementType::kFloat16:
      return "f16";
    case ElementType::kBfloat16:
      return "bf16";
  }
  return "";
}

ElementType ElementTypeFromName(std::string_view name) {
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat16, ElementType::kBfloat16}) {
    if (name == Name(type)) return type;
  }
  Refuse("an element type must be one of f32, f16, bf16, got ", name);
}

std::vector<std::byte> Narrow(const float* values, int64_t count, ElementType type) {
  std::vector<std::byte> elements(static_cast<size_t>(count) * Bytes(type));
  if (type == ElementType::kFloat32) {
    if (count > 0) std::memcpy(elements.data(), values, elements.size());
    return elements;
  }
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t narrow =
        type == ElementType::kFloat16 ? ToFloat16(values[i]) : ToBfloat16(values[i]);
    std::memcpy(elements.data() + 2 * i, &narrow, sizeof(narrow));
  }
  return elements;
}

std::vector<float> Widen(const void* elements, int64_t count, ElementType type) {
  std::vector<float> values(static_cast<size_t>(count));
  const auto* bytes = static_cast<const char*>(elements);
  if (type == ElementType::kFloat32) {
    if (count > 0) std::memcpy(values.data(), bytes, values.size() * sizeof(float));
    return values;
  }
  for (int64_t i = 0; i < count; ++i) {
    uint16_t narrow = 0;
    std::memcpy(&narrow, bytes + 2 * i, sizeof(narrow));
    values[i] = type == ElementType::kFloat16 ? FromFloat16(narrow) : FromBfloat16(narrow);
  }
  return values;
}

}  // namespace nfcompile::cuda
