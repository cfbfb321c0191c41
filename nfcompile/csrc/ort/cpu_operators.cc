// The operators for the CPU.
#include <memory>
#include <optional>
#include <utility>

#include "ort/attention.h"
#include "ort/kernel.h"
#include "ort/layers.h"
#include "ort/operator.h"

namespace nfcompile::ort {
namespace {

std::unique_ptr<Kernel> MakeKernel(const Operator& op, const Node& node, std::string subject) {
  if (op.attends()) return MakeAttentionKernel(op.api(), node, std::move(subject));
  const std::optional<Family> family = op.family();
  if (!family && op.convolves()) {
    return std::make_unique<ImageChainKernel>(op.api(), std::move(subject),
                                              ReadImageChain(node));
  }
  std::optional<Window> window;
  if (op.convolves()) window = ReadWindow(node);
  return std::make_unique<ChainKernel>(
      op.api(), std::move(subject),
      family ? ReadProduct(node, *family, window) : ReadChain(node), family.has_value(),
      std::move(window));
}

}  // namespace

void AddCpuOperators(const Api& api, bool infer_shapes, bool products,
                     std::list<Operator>& operators) {
  const auto add = [&](std::optional<Family> family, bool convolves) {
    const Traits traits{.family = family, .convolves = convolves, .make = MakeKernel};
    operators.emplace_back(api, traits, infer_shapes);
  };
  for (const Family family : {Family::kCsr, Family::kBsr, Family::kBlockDiagonal}) {
    if (products) add(family, /*convolves=*/false);
    add(family, /*convolves=*/true);
  }
  add(std::nullopt, /*convolves=*/false);
  add(std::nullopt, /*convolves=*/true);
  Traits attention;
  attention.attends = true;
  attention.make = MakeKernel;
  operators.emplace_back(api, attention, infer_shapes);
}

}  // namespace nfcompile::ort
