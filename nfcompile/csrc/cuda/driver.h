// The CUDA driver, opened when it is first asked for: nothing here is linked to CUDA, so that
// the library loads on any machine. Declares the few functions of its stable C ABI that are
// called.
#ifndef NFCOMPILE_CUDA_DRIVER_H_
#define NFCOMPILE_CUDA_DRIVER_H_

#include <cstddef>
#include <string>

namespace nfcompile::cuda {

using Result = int;  // CUresult: 0 is success
using DeviceId = int;
using DevicePointer = unsigned long long;  // CUdeviceptr
using Context = void*;
using Stream = void*;
using Module = void*;
using Function = void*;

// Attributes of devices and functions, by their numbers in the ABI.
constexpr int kMultiprocessors = 16;
constexpr int kL2CacheBytes = 38;
constexpr int kComputeMajor = 75;
constexpr int kComputeMinor = 76;
constexpr int kMaxDynamicSharedBytes = 8;

struct Driver {
  Result (*init)(unsigned flags);
  Result (*driver_version)(int* version);
  Result (*device_count)(int* count);
  Result (*device_get)(DeviceId* device, int ordinal);
  Result (*device_name)(char* name, int size, DeviceId device);
  Result (*device_attribute)(int* value, int attribute, DeviceId device);
  Result (*device_memory)(size_t* bytes, DeviceId device);
  Result (*primary_context)(Context* context, DeviceId device);
  Result (*get_context)(Context* context);
  Result (*set_context)(Context context);
  Result (*context_device)(DeviceId* device);
  Result (*load_module)(Module* module, const void* image);
  Result (*get_function)(Function* function, Module module, const char* name);
  Result (*set_function_attribute)(Function function, int attribute, int value);
  Result (*allocate)(DevicePointer* pointer, size_t bytes);
  Result (*release)(DevicePointer pointer);
  Result (*upload)(DevicePointer to, const void* from, size_t bytes);
  Result (*download)(void* to, DevicePointer from, size_t bytes);
  Result (*synchronize)(Stream stream);
  Result (*launch)(Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   Stream stream, void** arguments, void** extra);
  Result (*error_text)(Result result, const char** text);
};

// Why there is no driver to use, in a clause such as "libcuda.so.1 is not installed"; empty
// where there is one and it sees a device.
const std::string& DriverProblem();

// Throws std::runtime_error with DriverProblem() unless that is empty.
const Driver& GetDriver();

// The path of a stand-in for the driver, whose device memory is the host's: the variable
// NFCOMPILE_CUDA_STAND_IN, for tests on machines without a GPU. Null if there is none.
const char* StandIn();

// Throws std::runtime_error that names `what` unless the result is success.
void Check(Result result, const char* what);

// Makes sure that the calling thread has a context, the first device's if it has none; gives
// it.
Context CurrentContext();

}  // namespace nfcompile::cuda

#endif  // NFCOMPILE_CUDA_DRIVER_H_
