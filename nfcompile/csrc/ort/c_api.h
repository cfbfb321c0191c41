// The part of ONNX Runtime's C ABI that the operators use, declared for ourselves: its wheels
// ship no headers. The table of functions is append-only, so slot numbers hold for every later
// version; these are the ones of API version 17 (onnxruntime 1.17).
#ifndef NFCOMPILE_ORT_C_API_H_
#define NFCOMPILE_ORT_C_API_H_

#include <cstddef>
#include <cstdint>

extern "C" {

// Opaque to us.
struct OrtStatus;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtShapeInferContext;
struct OrtTensorTypeAndShapeInfo;
struct OrtOpAttr;
struct OrtValue;

// The table: an array of functions of many types.
struct OrtApi;

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// What an operator tells about itself, as of version 17: ONNX Runtime reads no field beyond
// the version that the object states.
struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info);
  const char* (*GetName)(const OrtCustomOp* op);
  const char* (*GetExecutionProviderType)(const OrtCustomOp* op);
  int (*GetInputType)(const OrtCustomOp* op, size_t index);
  size_t (*GetInputTypeCount)(const OrtCustomOp* op);
  int (*GetOutputType)(const OrtCustomOp* op, size_t index);
  size_t (*GetOutputTypeCount)(const OrtCustomOp* op);
  void (*KernelCompute)(void* kernel, OrtKernelContext* context);
  void (*KernelDestroy)(void* kernel);
  int (*GetInputCharacteristic)(const OrtCustomOp* op, size_t index);
  int (*GetOutputCharacteristic)(const OrtCustomOp* op, size_t index);
  int (*GetInputMemoryType)(const OrtCustomOp* op, size_t index);
  int (*GetVariadicInputMinArity)(const OrtCustomOp* op);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp* op);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp* op);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp* op);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp* op, const OrtApi* api,
                               const OrtKernelInfo* info, void** kernel);
  OrtStatus* (*KernelComputeV2)(void* kernel, OrtKernelContext* context);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp* op, OrtShapeInferContext* context);
  int (*GetStartVersion)(const OrtCustomOp* op);
  int (*GetEndVersion)(const OrtCustomOp* op);
};

}  // extern "C"

namespace nfcompile::ort {

constexpr uint32_t kApiVersion = 17;

// Error codes, element types, input characteristics and attribute types of the ABI.
constexpr int kFail = 1;
constexpr int kInvalidArgument = 2;

constexpr int kUndefined = 0;
constexpr int kFloat = 1;
constexpr int kUint8 = 2;
constexpr int kUint16 = 4;
constexpr int kInt32 = 6;
constexpr int kInt64 = 7;
constexpr int kFloat16 = 10;
constexpr int kBfloat16 = 16;

constexpr int kRequired = 0;
constexpr int kOptional = 1;
constexpr int kVariadic = 2;

constexpr int kAttributeInt = 1;
constexpr int kAttributeInts = 2;

constexpr int kMemoryTypeDefault = 0;
constexpr int kMemoryTypeCpuInput = -2;

// A function of the table: its slot and its type.
template <int kNumber, typename Function>
struct Slot {
  static constexpr int kSlot = kNumber;
  using Type = Function;
};

using CreateStatus = Slot<0, OrtStatus*(int code, const char* message)>;
using GetErrorMessage = Slot<2, const char*(const OrtStatus*)>;
using CreateCustomOpDomain = Slot<26, OrtStatus*(const char* domain, OrtCustomOpDomain** out)>;
using CustomOpDomainAdd = Slot<27, OrtStatus*(OrtCustomOpDomain*, const OrtCustomOp*)>;
using AddCustomOpDomain = Slot<28, OrtStatus*(OrtSessionOptions*, OrtCustomOpDomain*)>;
using GetTensorMutableData = Slot<51, OrtStatus*(OrtValue*, void** out)>;
using CreateTensorTypeAndShapeInfo = Slot<57, OrtStatus*(OrtTensorTypeAndShapeInfo** out)>;
using SetTensorElementType = Slot<58, OrtStatus*(OrtTensorTypeAndShapeInfo*, int type)>;
using SetDimensions =
    Slot<59, OrtStatus*(OrtTensorTypeAndShapeInfo*, const int64_t* dims, size_t count)>;
using GetTensorElementType = Slot<60, OrtStatus*(const OrtTensorTypeAndShapeInfo*, int* out)>;
using GetDimensionsCount = Slot<61, OrtStatus*(const OrtTensorTypeAndShapeInfo*, size_t* out)>;
using GetDimensions =
    Slot<62, OrtStatus*(const OrtTensorTypeAndShapeInfo*, int64_t* dims, size_t count)>;
using GetSymbolicDimensions =
    Slot<63, OrtStatus*(const OrtTensorTypeAndShapeInfo*, const char** names, size_t count)>;
using GetTensorTypeAndShape =
    Slot<65, OrtStatus*(const OrtValue*, OrtTensorTypeAndShapeInfo** out)>;
using KernelInfoGetAttributeFloat =
    Slot<85, OrtStatus*(const OrtKernelInfo*, const char* name, float* out)>;
using KernelInfoGetAttributeInt64 =
    Slot<86, OrtStatus*(const OrtKernelInfo*, const char* name, int64_t* out)>;
using KernelInfoGetAttributeString =
    Slot<87, OrtStatus*(const OrtKernelInfo*, const char* name, char* out, size_t* size)>;
using KernelContextGetInputCount = Slot<88, OrtStatus*(const OrtKernelContext*, size_t* out)>;
using KernelContextGetInput =
    Slot<90, OrtStatus*(const OrtKernelContext*, size_t index, const OrtValue** out)>;
using KernelContextGetOutput =
    Slot<91, OrtStatus*(OrtKernelContext*, size_t index, const int64_t* dims, size_t count,
                        OrtValue** out)>;
using ReleaseStatus = Slot<93, void(OrtStatus*)>;
using ReleaseTensorTypeAndShapeInfo = Slot<99, void(OrtTensorTypeAndShapeInfo*)>;
using KernelInfoGetAttributeArrayFloat =
    Slot<162, OrtStatus*(const OrtKernelInfo*, const char* name, float* out, size_t* size)>;
using KernelInfoGetAttributeArrayInt64 =
    Slot<163, OrtStatus*(const OrtKernelInfo*, const char* name, int64_t* out, size_t* size)>;
using KernelContextGetGpuComputeStream =
    Slot<193, OrtStatus*(const OrtKernelContext*, void** out)>;
using KernelInfoGetInputCount = Slot<230, OrtStatus*(const OrtKernelInfo*, size_t* out)>;
using KernelInfoGetOutputCount = Slot<231, OrtStatus*(const OrtKernelInfo*, size_t* out)>;
using KernelInfoGetInputName =
    Slot<232, OrtStatus*(const OrtKernelInfo*, size_t index, char* out, size_t* size)>;
using KernelInfoGetNodeName =
    Slot<244, OrtStatus*(const OrtKernelInfo*, char* out, size_t* size)>;
using KernelInfoGetConstantInputTensor =
    Slot<249, OrtStatus*(const OrtKernelInfo*, size_t index, int* is_constant,
                         const OrtValue** out)>;
using ShapeInferContextGetInputTypeShape =
    Slot<268, OrtStatus*(const OrtShapeInferContext*, size_t index,
                         OrtTensorTypeAndShapeInfo** out)>;
using ShapeInferContextGetAttribute =
    Slot<269, OrtStatus*(const OrtShapeInferContext*, const char* name, const OrtOpAttr** out)>;
using ShapeInferContextSetOutputTypeShape =
    Slot<270, OrtStatus*(const OrtShapeInferContext*, size_t index,
                         const OrtTensorTypeAndShapeInfo*)>;
using SetSymbolicDimensions =
    Slot<271, OrtStatus*(OrtTensorTypeAndShapeInfo*, const char** names, size_t count)>;
using ReadOpAttr =
    Slot<272, OrtStatus*(const OrtOpAttr*, int type, void* data, size_t size, size_t* out)>;
using KernelContextParallelFor =
    Slot<274, OrtStatus*(const OrtKernelContext*, void (*body)(void*, size_t), size_t total,
                         size_t batches, void* user)>;

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_C_API_H_
