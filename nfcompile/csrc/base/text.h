// Text for error messages: Cat("rows must be ", 3) == "rows must be 3".
#ifndef NFCOMPILE_BASE_TEXT_H_
#define NFCOMPILE_BASE_TEXT_H_

#include <sstream>
#include <stdexcept>
#include <string>

namespace nfcompile {

template <typename... Parts>
std::string Cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Refuses an argument: the one exception type that crosses into ort/ and python/.
template <typename... Parts>
[[noreturn]] void Refuse(const Parts&... parts) {
  throw std::invalid_argument(Cat(parts...));
}

template <typename... Parts>
void Require(bool holds, const Parts&... parts) {
  if (!holds) Refuse(parts...);
}

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_TEXT_H_
