// SPDX-License-Identifier: Apache-2.0
//
// The board of a GPU: who wants it, who has it, and what each has used.
//
// One page per GPU, made by its arbiter and mapped by the gatekeepers and workers of every lease on
// that GPU; the daemon reads copies of it. It is to device time what the quota page is to memory:
// no client ever maps it, so no variable and no message changes it.
//
// Who writes what. A tenant's identity is written by its gatekeeper under the mutex. `weight` and
// `share_ppm` are the daemon's. `grant` and `until_ns` are the arbiter's. A seat belongs to one
// worker. Everything else is a counter that only grows. So a process that dies anywhere leaves
// nothing half written that somebody else relies on, and an arbiter that was killed is replaced by
// a new one that reads the same page and goes on.
//
// The layout is shared with Python (tessera/leases/board.py) and checked by a test.
#pragma once

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

namespace tessera {

inline constexpr std::uint64_t kBoardMagic = 0x4452414f42525354;  // "TSRBOARD" in memory order
inline constexpr std::uint32_t kBoardVersion = 1;
inline constexpr std::size_t kMaxTenants = 128;   // leases on one GPU
inline constexpr std::size_t kMaxSeats = 512;     // sessions on one GPU
inline constexpr std::size_t kWaitBuckets = 128;  // of the histogram of waits
inline constexpr std::size_t kTraceLength = 8192;

inline constexpr std::uint64_t kNoEnd = ~std::uint64_t{0};

enum class PolicyKind : std::uint32_t { best_effort = 0, equal = 1, fixed = 2, weighted = 3 };

inline constexpr std::uint32_t kMaxWeight = 10'000;  // as of cgroup's cpu.weight
inline constexpr std::uint32_t kDefaultWeight = 100;
inline constexpr std::uint32_t kWholeDevice = 1'000'000;  // share_ppm
inline constexpr std::uint32_t kMinSliceUs = 1'000;
inline constexpr std::uint32_t kMaxSliceUs = 30'000;

// A lease on this GPU.
struct Tenant {
  std::atomic<std::uint32_t> present;    // 0 or 1
  std::atomic<std::uint32_t> weight;     // 1..kMaxWeight, for `weighted`
  std::atomic<std::uint32_t> share_ppm;  // of the device, for `fixed`; 1..kWholeDevice
  std::int32_t gatekeeper_pid;
  std::array<char, 32> lease_id;  // NUL-terminated
  // Futex word: 0, or the number of the grant that the lease holds now.
  std::atomic<std::uint32_t> grant;
  std::atomic<std::uint32_t>
      overruns;  // grants whose commands ran on so long that others went on beside them
  std::atomic<std::uint64_t>
      until_ns;  // CLOCK_MONOTONIC; all ones for "until somebody else wants it"
  std::atomic<std::uint64_t> since_ns;   // CLOCK_MONOTONIC, when the lease became a tenant
  std::atomic<std::uint64_t> device_ns;  // measured device time, ever
  std::atomic<std::uint64_t> commands;   // that it is the time of
  std::atomic<std::uint64_t> grants;     // ever
  std::atomic<std::uint64_t> waits;      // ended waits of its sessions for a grant
  std::atomic<std::uint64_t> waited_ns;  // their sum
  std::array<std::atomic<std::uint32_t>, kWaitBuckets> wait_counts;  // wait_bucket()
};

// A session on this GPU.
struct Seat {
  std::atomic<std::int32_t> worker_pid;  // 0: free
  std::atomic<std::uint32_t> tenant;     // index
  std::atomic<std::uint32_t> wants;      // 1: has a command and no grant
  std::atomic<std::uint32_t> busy;       // 1: has commands under way on the device
  std::atomic<std::uint32_t> poke;       // futex word: the worker is to look at its grant
  // 1: a thread of the worker waits for its commands already, and will look without being woken.
  std::atomic<std::uint32_t> attended;
  // When what is under way should have ended, by what such commands cost before (CLOCK_MONOTONIC);
  // kNoEnd where that is not known.
  std::atomic<std::uint64_t> ends_ns;
};

// One stretch of time in which a lease held the GPU.
struct TraceEntry {
  std::uint64_t begin_ns;  // CLOCK_MONOTONIC
  std::uint64_t end_ns;
  std::uint64_t device_ns;  // charged since the lease's stretch before
  std::uint32_t tenant;     // index
  std::uint32_t grant;
};

struct Board {
  std::uint64_t magic;
  std::uint32_t version;
  std::atomic<std::int32_t> arbiter_pid;
  std::uint64_t boot;                     // boot_hash()
  std::array<char, 64> gpu;               // its id; NUL-terminated
  std::atomic<std::uint32_t> policy;      // PolicyKind; the daemon writes it
  std::atomic<std::uint32_t> slice_us;    // 0: the default for the number of tenants
  std::atomic<std::uint32_t> doorbell;    // futex word: rung for the arbiter
  std::atomic<std::uint32_t> contended;   // 0: whoever has a standing grant need not look at clocks
  std::atomic<std::uint64_t> started_ns;  // CLOCK_MONOTONIC, of the page
  std::atomic<std::uint64_t> device_ns;   // of all tenants, those that are gone too
  std::atomic<std::uint64_t> idle_ns;     // in which no lease held it
  std::atomic<std::uint64_t>
      trace_count;  // entries ever written; the newest is (count - 1) % kTraceLength
  alignas(64) pthread_mutex_t mutex;
  alignas(64) std::array<Tenant, kMaxTenants> tenants;
  alignas(64) std::array<Seat, kMaxSeats> seats;
  alignas(64) std::array<TraceEntry, kTraceLength> trace;
};

// The histogram has four buckets per octave: bucket 0 is below 1 us, bucket i > 0 begins at
// 2^((i - 1) / 4) us.
std::size_t wait_bucket(std::uint64_t wait_ns);

// A mapping of a board. Move-only; unmaps on destruction.
class BoardPage {
 public:
  // Makes the file with mode 0600, or takes over the board of this GPU that an earlier arbiter of
  // the same boot left there. Throws std::system_error, or std::runtime_error for something else at
  // that path.
  static BoardPage open(std::string_view path, std::string_view gpu);
  // Maps a board that an arbiter has made. Throws as open().
  static BoardPage attach(std::string_view path);
  static BoardPage attach(int fd);

  BoardPage(BoardPage&& other) noexcept;
  BoardPage& operator=(BoardPage&& other) noexcept;
  ~BoardPage();

  int fd() const { return fd_; }
  Board* operator->() const { return board_; }
  Board& operator*() const { return *board_; }

  // Gatekeeper only. Makes the lease a tenant, or finds it again; its index. Throws
  // std::runtime_error when the board is full.
  std::size_t register_tenant(std::string_view lease, std::uint32_t weight,
                              std::uint32_t share_ppm);
  void unregister_tenant(std::size_t tenant);
  // Worker only; kMaxSeats when none is free.
  std::size_t take_seat(std::size_t tenant);
  // Of a worker that ended; any process.
  void free_seats_of(std::int32_t worker_pid);
  // Tells the arbiter to look.
  void ring() const;

 private:
  BoardPage(int fd, Board* board) : fd_(fd), board_(board) {}
  int fd_ = -1;
  Board* board_ = nullptr;
};

// Which boot of the machine a board belongs to: its times are of that boot's clock.
std::uint64_t boot_hash();

}  // namespace tessera
