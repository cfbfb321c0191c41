// Waiting for what others finish within microseconds.
#ifndef NFCOMPILE_BASE_SPIN_LOCK_H_
#define NFCOMPILE_BASE_SPIN_LOCK_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

namespace nfcompile {

// Returns when done() is true. Where that takes long, it sleeps a little: two threads that only
// yield to each other can share one core for good while another is idle, since none of them
// ever wakes up to be placed anew.
template <typename Done>
void SpinUntil(Done done) {
  constexpr int64_t kSpins = 4096;
  for (int64_t spins = 0; !done(); ++spins) {
    if (spins < kSpins) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
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
