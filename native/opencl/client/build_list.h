// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace tessera::client {

class Build;

// The builds of a session that the worker has not ended yet.
class BuildList {
 public:
  void add(std::shared_ptr<Build> build);
  // The build of a ticket, taken out; nullptr if there is none.
  std::shared_ptr<Build> take(std::uint64_t ticket);
  std::vector<std::shared_ptr<Build>> take_all();

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<Build>> builds_;
};

}  // namespace tessera::client
