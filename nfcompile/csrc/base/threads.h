// How many threads may share a run.
#ifndef NFCOMPILE_BASE_THREADS_H_
#define NFCOMPILE_BASE_THREADS_H_

#include <cstdint>

namespace nfcompile {

struct Threads {
  int64_t most = 1;    // that may come
  int64_t likely = 1;  // that will, as far as is known
};

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_THREADS_H_
