// Waiting that does not sleep: for what others finish within microseconds, when to wake up
// would take longer.
#ifndef NFCOMPILE_BASE_SPIN_LOCK_H_
#define NFCOMPILE_BASE_SPIN_LOCK_H_

#include <atomic>
#include <cstdint>
#include <thread>

namespace nfcompile {

// Returns when done() is true; lets others run where that takes long.
template <typename Done>
void SpinUntil(Done done) {
  constexpr int64_t kSpins = 4096;
  for (int64_t spins = 0; !done(); ++spins) {
    if (spins < kSpins) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      std::this_thread::yield();
    }
  }
}

// For std::lock_guard.
class SpinLock {
 public:
  void lock() {
    SpinUntil([&] { return !taken_.exchange(true, std::memory_order_acquire); });
  }
  void unlock() { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_ = false;
};

}  // namespace nfcompile

#endif  // NFCOMPILE_BASE_SPIN_LOCK_H_
