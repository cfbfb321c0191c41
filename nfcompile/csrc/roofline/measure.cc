#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>

#include "base/aligned_buffer.h"
#include "base/isa.h"
#include "base/text.h"
#include "roofline/loops.h"
#include "roofline/roofline.h"

namespace nfcompile::roofline {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSampleSeconds = 1e-3;

std::vector<const ArithmeticLoop*> UsableLoops() {
  std::vector<const ArithmeticLoop*> loops = {&kF32Scalar};
#if defined(__x86_64__)
  loops.insert(loops.end(), {&kF32Avx2, &kF32Avx512, &kBf16Avx512, &kBf16Amx});
#endif
  const auto unusable = [](const ArithmeticLoop* loop) { return !loop->usable(); };
  loops.erase(std::remove_if(loops.begin(), loops.end(), unusable), loops.end());
  return loops;
}

ReadLoop SelectRead() {
#if defined(__x86_64__)
  switch (Fp32Isa(SelectIsa())) {
    case Isa::kAvx512:
      return &ReadAvx512;
    case Isa::kAvx2:
      return &ReadAvx2;
    default:
      break;
  }
#endif
  return &ReadScalar;
}

double Seconds(const std::function<void(int64_t)>& work, int64_t rounds) {
  const auto start = Clock::now();
  work(rounds);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Rounds per second: the best sample, as another process can only make one slower.
double BestRate(const std::function<void(int64_t)>& work, double seconds) {
  int64_t rounds = 1;
  double took = Seconds(work, rounds);
  while (took < kSampleSeconds) {
    rounds *= 2;
    took = Seconds(work, rounds);
  }
  double best = 0;
  const auto start = Clock::now();
  do {
    best = std::max(best, static_cast<double>(rounds) / Seconds(work, rounds));
  } while (std::chrono::duration<double>(Clock::now() - start).count() < seconds);
  return best;
}

// The sum over threads that start together; `make_work` runs in the thread.
double TotalRate(const std::function<std::function<void(int64_t)>()>& make_work, double seconds,
                 int64_t threads) {
  Require(threads >= 1, "threads must be at least 1, got ", threads);
  std::atomic<int64_t> waiting{threads};
  std::vector<double> rates(static_cast<size_t>(threads));
  const auto measure = [&](double* rate) {
    const auto work = make_work();
    --waiting;
    while (waiting > 0) std::this_thread::yield();
    *rate = BestRate(work, seconds);
  };
  std::vector<std::thread> pool;
  for (int64_t i = 1; i < threads; ++i) {
    pool.emplace_back(measure, &rates[static_cast<size_t>(i)]);
  }
  measure(&rates[0]);
  for (std::thread& thread : pool) thread.join();
  double total = 0;
  for (const double rate : rates) total += rate;
  return total;
}

}  // namespace

std::vector<std::string> Arithmetic() {
  std::vector<std::string> names;
  for (const ArithmeticLoop* loop : UsableLoops()) names.emplace_back(loop->name);
  return names;
}

double MeasureFlops(const std::string& name, double seconds, int64_t threads) {
  for (const ArithmeticLoop* loop : UsableLoops()) {
    if (name != loop->name) continue;
    return loop->flops_per_round * TotalRate([loop] { return loop->run; }, seconds, threads);
  }
  Refuse("arithmetic ", name, " is not one of this machine's");
}

double MeasureReadBandwidth(int64_t bytes, double seconds, int64_t threads) {
  Require(bytes >= 1, "bytes must be at least 1, got ", bytes);
  const int64_t size = (bytes + 1023) / 1024 * 1024;
  const ReadLoop read = SelectRead();
  const auto make_work = [size, read]() -> std::function<void(int64_t)> {
    const auto buffer = std::make_shared<AlignedBytes>(static_cast<size_t>(size));
    std::memset(buffer->data(), 0, static_cast<size_t>(size));
    return [buffer, size, read](int64_t rounds) {
      for (int64_t round = 0; round < rounds; ++round) {
        const float sum = read(buffer->data(), size);
        asm volatile("" : : "x"(sum) : "memory");  // used, and to be read anew
      }
    };
  };
  return static_cast<double>(size) * TotalRate(make_work, seconds, threads);
}

}  // namespace nfcompile::roofline
