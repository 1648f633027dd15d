// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/build_list.h"

#include <algorithm>
#include <utility>

#include "opencl/client/build.h"

namespace tessera::client {

void BuildList::add(std::shared_ptr<Build> build) {
  const std::lock_guard lock(mutex_);
  builds_.push_back(std::move(build));
}

std::shared_ptr<Build> BuildList::take(std::uint64_t ticket) {
  const std::lock_guard lock(mutex_);
  const auto at = std::find_if(builds_.begin(), builds_.end(),
                               [&](const auto& build) { return build->ticket == ticket; });
  if (at == builds_.end()) return nullptr;
  std::shared_ptr<Build> build = std::move(*at);
  builds_.erase(at);
  return build;
}

std::vector<std::shared_ptr<Build>> BuildList::take_all() {
  const std::lock_guard lock(mutex_);
  return std::exchange(builds_, {});
}

}  // namespace tessera::client
