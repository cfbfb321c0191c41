// The images of libnfcompile_ops_cuda, which lies beside this module.
#include <dlfcn.h>

#include <string>

#include "cuda/images.h"
#include "python/cuda.h"

namespace nfcompile::python {
namespace {

struct Library {
  std::span<const cuda::Image> images;
  const void* data = nullptr;
};

Library Open() {
  Dl_info self;
  if (dladdr(reinterpret_cast<const void*>(&Open), &self) == 0) return {};
  const std::string path(self.dli_fname);
  const std::string folder = path.substr(0, path.rfind('/') + 1);
  void* library = dlopen((folder + "libnfcompile_ops_cuda.so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {};
  using Get = const cuda::Image* (*)(size_t*, const void**);
  const auto get = reinterpret_cast<Get>(dlsym(library, "NfcompileCudaImages"));
  if (get == nullptr) return {};
  Library found;
  size_t count = 0;
  const cuda::Image* images = get(&count, &found.data);
  found.images = {images, count};
  return found;
}

const Library& Once() {
  static const Library library = Open();
  return library;
}

}  // namespace
}  // namespace nfcompile::python

namespace nfcompile::cuda {

std::span<const Image> Images() { return python::Once().images; }

const void* Data(const Image& image) {
  return static_cast<const char*>(python::Once().data) + image.offset;
}

}  // namespace nfcompile::cuda
