// SPDX-License-Identifier: Apache-2.0
#include "guest/control.h"

#include <errno.h>
#include <unistd.h>

#include <system_error>

namespace tessera::guest {

void Control::say(std::vector<std::byte> frame) {
  output_.insert(output_.end(), frame.begin(), frame.end());
  write();
}

pollfd Control::entry() const {
  return {port_, static_cast<short>(POLLIN | (output_.empty() ? 0 : POLLOUT)), 0};
}

void Control::serve(const pollfd& entry, const std::function<void(const Frame&)>& obey) {
  if (!output_.empty()) write();
  if ((entry.revents & POLLIN) == 0) return;
  const auto room = decoder_.room();
  const ssize_t got = ::read(port_, room.data(), room.size());
  if (got > 0) decoder_.filled(static_cast<std::size_t>(got));
  while (const auto frame = decoder_.next()) obey(*frame);
}

void Control::write() {
  const ssize_t put = ::write(port_, output_.data(), output_.size());
  if (put < 0 && errno != EAGAIN && errno != EINTR) {
    throw std::system_error(errno, std::generic_category(), "the control port");
  }
  if (put > 0) output_.erase(output_.begin(), output_.begin() + put);
}

}  // namespace tessera::guest
