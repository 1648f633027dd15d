// SPDX-License-Identifier: Apache-2.0
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <new>
#include <optional>

#include "bench/peer.h"
#include "bench/yardsticks.h"

namespace tessera::bench {
namespace {

constexpr std::uint32_t kTurns = 500;
constexpr std::uint32_t kWarmUpTurns = 50;

// Two words on cache lines of their own: each side writes one and watches the other.
struct alignas(64) Word {
  std::atomic<std::uint32_t> value{0};
};
struct Table {
  Word there, back;
};

void set(Word& word, std::uint32_t value, bool spinning) {
  word.value.store(value, std::memory_order_release);
  if (!spinning) {
    checked(syscall(SYS_futex, &word.value, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0), "futex");
  }
}

void wait_for(Word& word, std::uint32_t value, bool spinning) {
  for (;;) {
    const std::uint32_t seen = word.value.load(std::memory_order_acquire);
    if (seen == value) return;
    if (spinning) {
      __builtin_ia32_pause();
    } else {
      // EAGAIN (it changed meanwhile) and EINTR are answered by looking again.
      syscall(SYS_futex, &word.value, FUTEX_WAIT, seen, nullptr, nullptr, 0);
    }
  }
}

// Keeps this process on the `index`-th core that it may use, as long as there are that many.
class Pinned {
 public:
  explicit Pinned(int index) {
    checked(sched_getaffinity(0, sizeof(before_), &before_), "sched_getaffinity");
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (!CPU_ISSET(core, &before_) || index-- > 0) continue;
      cpu_set_t only;
      CPU_ZERO(&only);
      CPU_SET(core, &only);
      checked(sched_setaffinity(0, sizeof(only), &only), "sched_setaffinity");
      return;
    }
  }
  ~Pinned() { sched_setaffinity(0, sizeof(before_), &before_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

 private:
  cpu_set_t before_{};
};

const char* name_of(FutexKind kind) {
  switch (kind) {
    case FutexKind::sleeping:
      return "futex_sleeping";
    case FutexKind::two_cores:
      return "futex_two_cores";
    case FutexKind::spinning:
      return "futex_spinning";
  }
  return "";
}

template <typename Turn>
void measure_turns(Slice& slice, const char* name, Turn turn) {
  auto& samples = slice.samples[name];
  for (std::uint32_t i = 1; i <= kWarmUpTurns + kTurns; ++i) {
    const std::uint64_t start = now_ns();
    turn(i);
    const auto spent = static_cast<double>(now_ns() - start);
    if (i > kWarmUpTurns) samples.push_back(spent);
  }
}

}  // namespace

int usable_cores() {
  cpu_set_t cores;
  checked(sched_getaffinity(0, sizeof(cores), &cores), "sched_getaffinity");
  return CPU_COUNT(&cores);
}

void measure_futex(Slice& slice, FutexKind kind) {
  const bool spinning = kind == FutexKind::spinning, pinned = kind != FutexKind::sleeping;
  void* memory =
      mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  checked(memory == MAP_FAILED ? -1 : 0, "mmap");
  Table* table = new (memory) Table;
  {
    const Peer peer([&] {
      std::optional<Pinned> core;
      if (pinned) core.emplace(1);
      for (std::uint32_t i = 1; i <= kWarmUpTurns + kTurns; ++i) {
        wait_for(table->there, i, spinning);
        set(table->back, i, spinning);
      }
    });
    std::optional<Pinned> core;
    if (pinned) core.emplace(0);
    measure_turns(slice, name_of(kind), [&](std::uint32_t i) {
      set(table->there, i, spinning);
      wait_for(table->back, i, spinning);
    });
  }
  munmap(memory, sizeof(Table));
}

void measure_pipe(Slice& slice) {
  std::array<int, 2> there{}, back{};
  checked(pipe(there.data()), "pipe");
  checked(pipe(back.data()), "pipe");
  std::array<char, 64> message{};
  {
    const Peer peer([&] {
      for (std::uint32_t i = 1; i <= kWarmUpTurns + kTurns; ++i) {
        checked(read(there[0], message.data(), message.size()), "read");
        checked(write(back[1], message.data(), message.size()), "write");
      }
    });
    measure_turns(slice, "pipe", [&](std::uint32_t) {
      checked(write(there[1], message.data(), message.size()), "write");
      checked(read(back[0], message.data(), message.size()), "read");
    });
  }
  for (const int fd : {there[0], there[1], back[0], back[1]}) close(fd);
}

}  // namespace tessera::bench
