#include "base/crew.h"

#include <algorithm>

namespace nfcompile {
namespace {

// A choice must be faster by a tenth to be changed to.
constexpr int64_t kTenths = 9;
// Runs 4, 8, 16 … 256 after each change, and then every 256th, try another number of threads:
// what was seen of others' work may have passed.
constexpr int64_t kFirstTry = 4;
constexpr int64_t kPeriod = 256;
// A run moves the estimate by an eighth of the way, or, of what is tried seldom, all the way;
// it counts as twice as long at most: others' work on the machine is no reason to change.
constexpr int64_t kMemory = 8;
constexpr int64_t kLongest = 2;

// The largest choice: one thread.
int Last(int64_t threads, int choices) {
  int last = 0;
  while (last + 1 < choices && threads >> (last + 1) > 0) ++last;
  return last;
}

}  // namespace

// Numbers of rows that were not used for longest are forgotten.
Crew::Entry& Crew::Find(int64_t rows, int64_t threads) {
  Entry* oldest = entries_.data();
  for (Entry& entry : entries_) {
    if (entry.rows == rows && entry.threads == threads) {
      entry.used = ++uses_;
      return entry;
    }
    if (entry.used < oldest->used) oldest = &entry;
  }
  *oldest = {};
  oldest->rows = rows;
  oldest->threads = threads;
  oldest->used = ++uses_;
  return *oldest;
}

int64_t Crew::Call(int64_t rows, int64_t threads) {
  const std::lock_guard<SpinLock> lock(lock_);
  Entry& entry = Find(rows, threads);
  if (entry.ns[entry.best] == 0) return threads >> entry.best;
  const int64_t run = ++entry.runs;
  const bool early = run >= kFirstTry && (run & (run - 1)) == 0;
  if (!early && run % kPeriod != 0) return threads >> entry.best;
  const int64_t attempt = ++entry.tries;
  const int last = Last(threads, kChoices);
  const int fewer = std::min(entry.best + 1, last);
  const int more = std::max(entry.best - 1, 0);
  const bool down = more == entry.best || (attempt % 2 == 1 && fewer != entry.best);
  return threads >> (down ? fewer : more);
}

void Crew::Learn(int64_t rows, int64_t threads, int64_t called, int64_t ns) {
  const std::lock_guard<SpinLock> lock(lock_);
  Entry& entry = Find(rows, threads);
  const int last = Last(threads, kChoices);
  int choice = 0;
  while (choice < last && threads >> choice > called) ++choice;
  int64_t& known = entry.ns[choice];
  const int64_t counted = known == 0 ? ns : std::min(ns, kLongest * known);
  const bool often = choice == entry.best && known != 0;
  known += (counted - known) / (often ? kMemory : 1);
  known = std::max<int64_t>(known, 1);
  for (int c = std::max(entry.best - 1, 0); c <= std::min(entry.best + 1, last); ++c) {
    const bool faster = 10 * entry.ns[c] < kTenths * entry.ns[entry.best];
    if (entry.ns[c] != 0 && faster) {
      entry.best = c;
      entry.runs = 0;
      break;
    }
  }
}

}  // namespace nfcompile
