// How many threads to call for a run of some rows, learned from how long such runs take.
//
// All of them may be slower than fewer: where they meet after every layer, or read what others
// wrote, and their cores share no cache; or where others' work keeps some of them waiting. So
// now and then a run is given half of them or twice as many, and what was faster goes on.
#ifndef NFCOMPILE_BASE_CREW_H_
#define NFCOMPILE_BASE_CREW_H_

#include <array>
#include <cstdint>
#include <mutex>

#include "base/spin_lock.h"

namespace nfcompile {

class Crew {
 public:
  // How many of `threads` to call for the next run of `rows`: all of them, or a half, a quarter
  // … Any number of threads may ask at once.
  int64_t Call(int64_t rows, int64_t threads);

  // That a run of `rows` took `ns` with `called` of `threads`. What is never told of is never
  // changed.
  void Learn(int64_t rows, int64_t threads, int64_t called, int64_t ns);

 private:
  static constexpr int kChoices = 8;
  static constexpr int kEntries = 16;  // numbers of rows that are remembered

  struct Entry {
    int64_t rows = -1;
    int64_t threads = 0;
    int64_t used = 0;  // the larger, the later
    int64_t runs = 0;
    int64_t tries = 0;
    int best = 0;                           // calls threads >> best
    std::array<int64_t, kChoices> ns = {};  // 0: not known
  };

  Entry& Find(int64_t rows, int64_t threads);

  SpinLock lock_;
  int64_t uses_ = 0;
  std::array<Entry, kEntries> entries_;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_CREW_H_
