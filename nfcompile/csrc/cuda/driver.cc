#include "cuda/driver.h"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>

#include "base/text.h"

namespace nfcompile::cuda {
namespace {

struct Loaded {
  Driver driver{};
  std::string problem;
};

template <typename Function>
bool Find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  return function != nullptr;
}

bool FindAll(void* library, Driver& driver) {
  return Find(library, "cuInit", driver.init) &&
         Find(library, "cuDriverGetVersion", driver.driver_version) &&
         Find(library, "cuDeviceGetCount", driver.device_count) &&
         Find(library, "cuDeviceGet", driver.device_get) &&
         Find(library, "cuDeviceGetName", driver.device_name) &&
         Find(library, "cuDeviceGetAttribute", driver.device_attribute) &&
         Find(library, "cuDeviceTotalMem_v2", driver.device_memory) &&
         Find(library, "cuDevicePrimaryCtxRetain", driver.primary_context) &&
         Find(library, "cuCtxGetCurrent", driver.get_context) &&
         Find(library, "cuCtxSetCurrent", driver.set_context) &&
         Find(library, "cuCtxGetDevice", driver.context_device) &&
         Find(library, "cuModuleLoadData", driver.load_module) &&
         Find(library, "cuModuleGetFunction", driver.get_function) &&
         Find(library, "cuFuncSetAttribute", driver.set_function_attribute) &&
         Find(library, "cuMemAlloc_v2", driver.allocate) &&
         Find(library, "cuMemFree_v2", driver.release) &&
         Find(library, "cuMemcpyHtoD_v2", driver.upload) &&
         Find(library, "cuMemcpyDtoH_v2", driver.download) &&
         Find(library, "cuStreamSynchronize", driver.synchronize) &&
         Find(library, "cuLaunchKernel", driver.launch) &&
         Find(library, "cuGetErrorString", driver.error_text);
}

Loaded Load() {
  Loaded loaded;
  const char* path = StandIn() != nullptr ? StandIn() : "libcuda.so.1";
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);  // never closed: contexts live in it
  if (library == nullptr) {
    loaded.problem = Cat(path, " cannot be opened: there is no NVIDIA driver");
    return loaded;
  }
  if (!FindAll(library, loaded.driver)) {
    loaded.problem = Cat(path, " lacks functions of CUDA 11 or newer");
    return loaded;
  }
  int count = 0;
  if (loaded.driver.init(0) != 0 || loaded.driver.device_count(&count) != 0 || count == 0) {
    loaded.problem = "the NVIDIA driver sees no CUDA device";
  }
  return loaded;
}

const Loaded& Once() {
  static const Loaded& loaded = *new Loaded(Load());  // never destroyed: exit order is unknown
  return loaded;
}

}  // namespace

const char* StandIn() {
  const char* path = std::getenv("NFCOMPILE_CUDA_STAND_IN");
  return path != nullptr && *path != '\0' ? path : nullptr;
}

const std::string& DriverProblem() { return Once().problem; }

const Driver& GetDriver() {
  if (!DriverProblem().empty()) throw std::runtime_error(DriverProblem());
  return Once().driver;
}

void Check(Result result, const char* what) {
  if (result == 0) return;
  const char* text = nullptr;
  if (GetDriver().error_text(result, &text) != 0 || text == nullptr) text = "unknown error";
  throw std::runtime_error(Cat("CUDA cannot ", what, ": ", text, " (", result, ")"));
}

Context CurrentContext() {
  const Driver& driver = GetDriver();
  Context context = nullptr;
  Check(driver.get_context(&context), "tell the current context");
  if (context == nullptr) {
    DeviceId device = 0;
    Check(driver.device_get(&device, 0), "find a device");
    Check(driver.primary_context(&context, device), "make a context");
    Check(driver.set_context(context), "set a context");
  }
  return context;
}

}  // namespace nfcompile::cuda
