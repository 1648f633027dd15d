// SPDX-License-Identifier: Apache-2.0
//
// What a suspended session is, seen from outside.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "base/unique_fd.h"

namespace tessera::worker {

// Why a session cannot be suspended or resumed. `name` is one word, for programs; nothing was lost.
class StateError : public std::runtime_error {
 public:
  StateError(const char* name, const std::string& what) : std::runtime_error(what), name_(name) {}
  const char* name() const { return name_; }

 private:
  const char* name_;
};

namespace state_error {
inline constexpr char kAlreadySuspended[] = "AlreadySuspended";
inline constexpr char kNotSuspended[] = "NotSuspended";
inline constexpr char kUnsupported[] = "SuspendUnsupported";
inline constexpr char kFailed[] = "SuspendFailed";
inline constexpr char kDamaged[] = "StateFileDamaged";
inline constexpr char kOtherVersion[] = "StateFileOtherVersion";
inline constexpr char kRefused[] = "ResumeRefused";
inline constexpr char kLacksFeature[] = "DeviceLacksFeature";
}  // namespace state_error

// What the state takes, where it is kept and on the devices.
struct StateNeeds {
  std::uint64_t bytes = 0;    // of the saved state, about
  std::uint64_t device = 0;   // bytes of device memory that a resume charges
  std::uint64_t objects = 0;  // of the client
};

// Where the state goes: a file, which must not exist, or the memory of this process.
struct StatePlace {
  std::string path;  // empty: memory
  std::string lease;
};

struct SavedState {
  std::string path;
  UniqueFd memory;
};

}  // namespace tessera::worker
