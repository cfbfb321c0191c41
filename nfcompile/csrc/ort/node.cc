#include "ort/node.h"

#include "base/text.h"

namespace nfcompile::ort {
namespace {

// Reads a text of unknown length: asks for the size, then for the text.
template <typename Read>
std::string ReadText(Read read) {
  size_t size = 0;
  if (!read(nullptr, &size) || size == 0) return "";
  std::string text(size, '\0');
  if (!read(text.data(), &size)) return "";
  text.resize(size > 0 ? size - 1 : 0);  // the size counts the final zero
  return text;
}

// Reads a list of unknown length, which must have `size` entries.
template <typename T, typename Read>
std::vector<T> ReadList(const char* name, size_t size, Read read) {
  size_t count = 0;
  std::vector<T> list(size);
  Require(read(nullptr, &count) && count == size, "attribute ", name, " must have ", size,
          " entries, got ", count);
  Require(size == 0 || read(list.data(), &count), "attribute ", name, " cannot be read");
  return list;
}

}  // namespace

std::string Node::Name() const {
  return ReadText([&](char* out, size_t* size) {
    return api_.Try<KernelInfoGetNodeName>(info_, out, size);
  });
}

size_t Node::InputCount() const {
  size_t count = 0;
  api_.Call<KernelInfoGetInputCount>(info_, &count);
  return count;
}

size_t Node::OutputCount() const {
  size_t count = 0;
  api_.Call<KernelInfoGetOutputCount>(info_, &count);
  return count;
}

std::string Node::InputName(size_t index) const {
  return ReadText([&](char* out, size_t* size) {
    return api_.Try<KernelInfoGetInputName>(info_, index, out, size);
  });
}

int64_t Node::Int(const char* name) const {
  int64_t value = 0;
  Require(api_.Try<KernelInfoGetAttributeInt64>(info_, name, &value), "attribute ", name,
          " must be given");
  return value;
}

int64_t Node::Int(const char* name, int64_t otherwise) const {
  int64_t value = 0;
  return api_.Try<KernelInfoGetAttributeInt64>(info_, name, &value) ? value : otherwise;
}

float Node::Float(const char* name, float otherwise) const {
  float value = 0;
  return api_.Try<KernelInfoGetAttributeFloat>(info_, name, &value) ? value : otherwise;
}

std::string Node::String(const char* name, const char* otherwise) const {
  const std::string text = ReadText([&](char* out, size_t* size) {
    return api_.Try<KernelInfoGetAttributeString>(info_, name, out, size);
  });
  return text.empty() ? otherwise : text;
}

std::vector<int64_t> Node::Ints(const char* name, size_t size) const {
  return ReadList<int64_t>(name, size, [&](int64_t* out, size_t* count) {
    return api_.Try<KernelInfoGetAttributeArrayInt64>(info_, name, out, count);
  });
}

std::vector<int64_t> Node::Ints(const char* name) const {
  size_t count = 0;
  const bool given = api_.Try<KernelInfoGetAttributeArrayInt64>(
      info_, name, static_cast<int64_t*>(nullptr), &count);
  return given ? Ints(name, count) : std::vector<int64_t>();
}

std::vector<float> Node::Floats(const char* name, size_t size) const {
  return ReadList<float>(name, size, [&](float* out, size_t* count) {
    return api_.Try<KernelInfoGetAttributeArrayFloat>(info_, name, out, count);
  });
}

std::vector<std::string> Node::Words(const char* name) const {
  std::vector<std::string> words;
  std::istringstream text(String(name, ""));
  for (std::string word; std::getline(text, word, ',');) words.push_back(word);
  return words;
}

std::optional<Tensor> Node::Constant(size_t index, const char* name) const {
  if (index >= InputCount()) return std::nullopt;
  int is_constant = 0;
  const OrtValue* value = nullptr;
  api_.Call<KernelInfoGetConstantInputTensor>(info_, index, &is_constant, &value);
  if (is_constant != 0 && value != nullptr) return ReadTensor(api_, value);
  const std::string input = InputName(index);
  Require(input.empty(), name, " must be a constant initializer, got the run-time value ",
          input);
  return std::nullopt;
}

}  // namespace nfcompile::ort
