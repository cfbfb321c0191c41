// From a node to the layers that it runs: one for a product, several for a chain.
#ifndef NFCOMPILE_ORT_LAYERS_H_
#define NFCOMPILE_ORT_LAYERS_H_

#include <memory>
#include <optional>

#include "kernels/chain/chain.h"
#include "kernels/chain/image_chain.h"
#include "kernels/tile/window.h"
#include "ort/node.h"
#include "ort/weights.h"

namespace nfcompile::ort {

// What a product does after its sums; bias and residual are inputs of a run.
Epilogue ReadEpilogue(const Node& node);

// CsrMatMul, BsrMatMul, BlockDiagonalMatMul and their convolutions: slot 0 is X, slot 1 the
// residual where there is one. `window`: of a convolution. Throws std::invalid_argument on
// malformed weights.
std::unique_ptr<Chain> ReadProduct(const Node& node, Family family,
                                   const std::optional<Window>& window);

// The window of CsrConv, BsrConv or BlockDiagonalConv, whose weights are those of the product.
// Throws std::invalid_argument on malformed attributes.
Window ReadWindow(const Node& node);

// SparseChain. Throws std::invalid_argument on malformed weights or attributes.
std::unique_ptr<Chain> ReadChain(const Node& node);

// SparseConvChain. Throws std::invalid_argument on malformed weights or attributes.
std::unique_ptr<ImageChain> ReadImageChain(const Node& node);

// Inputs of a product behind its weights.
constexpr size_t kBiasInput = 4;
constexpr size_t kResidualInput = 5;

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_LAYERS_H_
