// A stand-in for libcuda on machines without a GPU: device memory is the host's, and a kernel is
// run by whoever sets `stand_in_launch`. Enough of the driver for libnfcompile_ops_cuda.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void (*Launch)(const void* image, const char* entry, unsigned grid_x, unsigned grid_y,
                       unsigned grid_z, unsigned block_x, unsigned shared_bytes, void** arguments);

struct Function {
  const void* image;
  char entry[128];
};

Launch stand_in_launch = NULL;
int stand_in_architecture = 90;
int stand_in_multiprocessors = 1;
int stand_in_refuses_cubins = 0;
int stand_in_allocations = 0;  // not released yet
int stand_in_devices = 1;
int stand_in_context = 0;      // which context is current
int stand_in_dry = 0;          // whether kernels are only counted
static char contexts[256];

int cuInit(unsigned flags) { return flags != 0; }
int cuDriverGetVersion(int* version) { return *version = 13000, 0; }
int cuDeviceGetCount(int* count) { return *count = stand_in_devices, 0; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetName(char* name, int size, int device) {
  (void)device;
  strncpy(name, "stand-in", (size_t)size);
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  (void)device;
  *value = attribute == 75   ? stand_in_architecture / 10
           : attribute == 76 ? stand_in_architecture % 10
           : attribute == 16 ? stand_in_multiprocessors
                             : 1;
  return 0;
}
int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  (void)device;
  return *bytes = 1, 0;
}
int cuDevicePrimaryCtxRetain(void** context, int device) {
  (void)device;
  return *context = contexts, 0;
}
int cuCtxGetCurrent(void** context) { return *context = contexts + stand_in_context, 0; }
int cuCtxSetCurrent(void* context) { return context == NULL; }
int cuCtxGetDevice(int* device) { return *device = 0, 0; }
int cuModuleLoadData(void** module, const void* image) {
  const int is_cubin = memcmp(image, "\177ELF", 4) == 0;
  if (is_cubin && stand_in_refuses_cubins) return 209;  // no binary for the GPU
  return *module = (void*)image, 0;
}
int cuModuleGetFunction(void** function, void* module, const char* name) {
  struct Function* made = calloc(1, sizeof(struct Function));
  made->image = module;
  strncpy(made->entry, name, sizeof(made->entry) - 1);
  return *function = made, 0;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
  (void)function, (void)value;
  return attribute != 8;
}
int cuMemAlloc_v2(uint64_t* pointer, size_t bytes) {
  void* memory = NULL;
  if (posix_memalign(&memory, 256, bytes) != 0) return 2;
  memset(memory, 0xff, bytes);  // NaN: nothing may be read that was not written
  ++stand_in_allocations;
  return *pointer = (uint64_t)(uintptr_t)memory, 0;
}
int cuMemFree_v2(uint64_t pointer) {
  --stand_in_allocations;
  return free((void*)(uintptr_t)pointer), 0;
}
int cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
  return memcpy((void*)(uintptr_t)to, from, bytes), 0;
}
int cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
  return memcpy(to, (const void*)(uintptr_t)from, bytes), 0;
}
int cuStreamSynchronize(void* stream) { return stream != NULL; }
int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                   unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                   void* stream, void** arguments, void** extra) {
  (void)stream, (void)extra;
  const struct Function* made = function;
  if (block_y != 1 || block_z != 1 || grid_y > 65535 || stand_in_launch == NULL) return 1;
  stand_in_launch(made->image, made->entry, grid_x, grid_y, grid_z, block_x, shared_bytes,
                  arguments);
  return 0;
}
int cuGetErrorString(int result, const char** text) {
  return *text = result == 209 ? "no kernel image is available" : "invalid value", 0;
}
