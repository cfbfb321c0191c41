// The C API with exceptions for statuses: Api(table).Call<GetDimensionsCount>(info, &count).
#ifndef NFCOMPILE_ORT_API_H_
#define NFCOMPILE_ORT_API_H_

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "ort/c_api.h"

namespace nfcompile::ort {

// A call into ONNX Runtime failed; the message is its own.
class OrtError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Api {
 public:
  explicit Api(const OrtApi* table) : table_(table) {}

  // The function itself; the caller owns a status that it returns.
  template <typename S>
  typename S::Type* Get() const {
    // The table is an array of function pointers, each of its own type.
    const auto* slots = reinterpret_cast<void (*const*)()>(table_);
    return reinterpret_cast<typename S::Type*>(slots[S::kSlot]);
  }

  // Throws OrtError where the function returns a status.
  template <typename S, typename... Arguments>
  void Call(Arguments... arguments) const {
    Check(Get<S>()(arguments...));
  }

  // Whether the function succeeded.
  template <typename S, typename... Arguments>
  bool Try(Arguments... arguments) const {
    OrtStatus* status = Get<S>()(arguments...);
    if (status == nullptr) return true;
    Get<ReleaseStatus>()(status);
    return false;
  }

  OrtStatus* Status(int code, const char* message) const {
    return Get<CreateStatus>()(code, message);
  }

  const OrtApi* table() const { return table_; }

 private:
  void Check(OrtStatus* status) const;

  const OrtApi* table_;
};

// Calls body and turns what it throws into a status: no exception may reach ONNX Runtime.
template <typename Body>
OrtStatus* Guard(const Api& api, const std::string& subject, Body body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::invalid_argument& error) {
    return api.Status(kInvalidArgument, (subject + ": " + error.what()).c_str());
  } catch (const std::exception& error) {
    return api.Status(kFail, (subject + ": " + error.what()).c_str());
  }
}

using ShapeInfo =
    std::unique_ptr<OrtTensorTypeAndShapeInfo, void (*)(OrtTensorTypeAndShapeInfo*)>;

ShapeInfo OwnShapeInfo(const Api& api, OrtTensorTypeAndShapeInfo* info);

std::vector<int64_t> Dimensions(const Api& api, const OrtTensorTypeAndShapeInfo* info);

// A tensor that ONNX Runtime owns.
struct Tensor {
  int type = kUndefined;
  std::vector<int64_t> dims;
  const void* data = nullptr;

  int64_t elements() const;
};

Tensor ReadTensor(const Api& api, const OrtValue* value);

// "float32", of the types that activations have.
const char* TypeText(int type);

// "[2, 3]".
std::string ShapeText(std::span<const int64_t> dims);

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_API_H_
