#include "cuda/loaded_kernels.h"

#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "base/text.h"

namespace nfcompile::cuda {
namespace {

// Results of the driver: an image that it does not take.
constexpr Result kInvalidImage = 200;
constexpr Result kNoBinary = 209;

constexpr int kOldest = 80;  // compute capability

constexpr int kSharedBytesByDefault = 48 << 10;  // what a program gets unless it asks for more

int Architecture() {
  const Driver& driver = GetDriver();
  DeviceId device = 0;
  int major = 0;
  int minor = 0;
  Check(driver.context_device(&device), "tell the current device");
  Check(driver.device_attribute(&major, kComputeMajor, device), "tell the architecture");
  Check(driver.device_attribute(&minor, kComputeMinor, device), "tell the architecture");
  return 10 * major + minor;
}

LoadedKernel Load(std::string_view symbol) {
  const Driver& driver = GetDriver();
  const int architecture = Architecture();
  if (architecture < kOldest) {
    throw std::runtime_error(
        Cat("kernels need compute capability 8.0 or newer, this device has ", architecture / 10,
            ".", architecture % 10));
  }
  const Image* image = FindImage(symbol, architecture, /*ptx_only=*/false);
  Module module = nullptr;
  Result result = image != nullptr ? driver.load_module(&module, Data(*image)) : 0;
  if (result == kInvalidImage || result == kNoBinary) {
    image = FindImage(symbol, architecture, /*ptx_only=*/true);
    if (image != nullptr) result = driver.load_module(&module, Data(*image));
  }
  if (image == nullptr) return {};
  Check(result, "load a kernel");
  LoadedKernel loaded{.image = image};
  Check(driver.get_function(&loaded.function, module, image->entry), "find a kernel");
  if (image->shared_bytes > kSharedBytesByDefault) {
    Check(driver.set_function_attribute(loaded.function, kMaxDynamicSharedBytes,
                                        image->shared_bytes),
          "give a kernel its shared memory");
  }
  return loaded;
}

}  // namespace

LoadedKernel LoadKernel(std::string_view symbol) {
  static std::mutex mutex;
  // Symbols are literals; modules live as long as their context.
  static auto& loaded = *new std::map<std::pair<Context, std::string_view>, LoadedKernel>();
  const std::lock_guard lock(mutex);
  const std::pair key{CurrentContext(), symbol};
  const auto found = loaded.find(key);
  return found != loaded.end() ? found->second
                               : loaded.emplace(key, Load(symbol)).first->second;
}

}  // namespace nfcompile::cuda
