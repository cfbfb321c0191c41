// The one exported function: adds domain `nfcompile` to a session's options.
#include <cstdio>
#include <list>
#include <mutex>

#include "ort/operator.h"

namespace nfcompile::ort {
namespace {

// A domain and its operators must outlive every session that uses them, so they live as long
// as the process: one per onnxruntime in it.
struct Domain {
  Domain(const Api& api, bool infer_shapes) : operators(MakeOperators(api, infer_shapes)) {
    api.Call<CreateCustomOpDomain>("nfcompile", &domain);
    for (const Operator& op : operators) {
      api.Call<CustomOpDomainAdd>(domain, static_cast<const OrtCustomOp*>(&op));
    }
  }

  std::list<Operator> operators;
  OrtCustomOpDomain* domain = nullptr;
};

// Up to 1.23, onnxruntime crashes before it calls an InferOutputShapeFn of a node that leaves
// out an optional input in the middle, such as the bias before a residual
// (github.com/microsoft/onnxruntime/pull/26199). Shapes are then known at run time only.
bool CanInferShapes(const OrtApiBase* base) {
  constexpr int kFirstMinor = 24;
  int major = 0;
  int minor = 0;
  if (std::sscanf(base->GetVersionString(), "%d.%d", &major, &minor) != 2) return false;
  return major > 1 || minor >= kFirstMinor;
}

OrtCustomOpDomain* DomainFor(const Api& api, bool infer_shapes) {
  static std::mutex mutex;
  static auto& domains = *new std::list<Domain>();  // never destroyed: exit order is unknown
  const std::lock_guard lock(mutex);
  for (const Domain& domain : domains) {
    if (domain.operators.front().api().table() == api.table()) return domain.domain;
  }
  return domains.emplace_back(api, infer_shapes).domain;
}

OrtStatus* Register(OrtSessionOptions* options, const OrtApiBase* base) {
  const OrtApi* table = base->GetApi(kApiVersion);
  if (table == nullptr) {
    // Version 1 of the table has what a status needs.
    const OrtApi* oldest = base->GetApi(1);
    if (oldest == nullptr) return nullptr;
    return Api(oldest).Status(
        kFail, "nfcompile's operators need onnxruntime 1.17 or newer (C API version 17)");
  }
  const Api api(table);
  return Guard(api, "nfcompile's operators", [&] {
    api.Call<AddCustomOpDomain>(options, DomainFor(api, CanInferShapes(base)));
  });
}

}  // namespace
}  // namespace nfcompile::ort

extern "C" __attribute__((visibility("default"))) OrtStatus* RegisterCustomOps(
    OrtSessionOptions* options, const OrtApiBase* base) {
  return nfcompile::ort::Register(options, base);
}
