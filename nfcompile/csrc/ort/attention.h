// The node of MultiHeadAttention.
#ifndef NFCOMPILE_ORT_ATTENTION_H_
#define NFCOMPILE_ORT_ATTENTION_H_

#include <memory>
#include <string>

#include "ort/kernel.h"
#include "ort/node.h"

namespace nfcompile::ort {

// Throws std::invalid_argument on malformed attributes.
std::unique_ptr<Kernel> MakeAttentionKernel(const Api& api, const Node& node,
                                            std::string subject);

}  // namespace nfcompile::ort

#endif  // NFCOMPILE_ORT_ATTENTION_H_
