// The types of activations and of stored values on the device.
#ifndef NFCOMPILE_CUDA_ELEMENT_TYPE_H_
#define NFCOMPILE_CUDA_ELEMENT_TYPE_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace nfcompile::cuda {

enum class ElementType { kFloat32, kFloat16, kBfloat16 };

// "f32", "f16" or "bf16", as kernels are named.
const char* Name(ElementType type);

// Throws std::invalid_argument for another name.
ElementType ElementTypeFromName(std::string_view name);

constexpr size_t Bytes(ElementType type) { return type == ElementType::kFloat32 ? 4 : 2; }

// `count` floats as elements of `type`, and back.
std::vector<std::byte> Narrow(const float* values, int64_t count, ElementType type);
std::vector<float> Widen(const void* elements, int64_t count, ElementType type);

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_ELEMENT_TYPE_H_
