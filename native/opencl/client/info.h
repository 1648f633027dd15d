// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "opencl/client/errors.h"

namespace tessera::client {

// Where the answer of a clGet*Info call goes. A place that is too small is CL_INVALID_VALUE; the
// size is told whenever it was asked for.
class Info {
 public:
  Info(size_t room, void* place, size_t* size) : room_(room), place_(place), size_(size) {}

  void bytes(const void* from, size_t size) const {
    ensure(place_ == nullptr || room_ >= size, CL_INVALID_VALUE);
    if (place_ != nullptr && size != 0) std::memcpy(place_, from, size);
    if (size_ != nullptr) *size_ = size;
  }
  template <class T>
  requires std::is_trivially_copyable_v<T>
  void value(const T& value) const { bytes(&value, sizeof value); }
  template <class T>
  void array(std::span<const T> values) const {
    bytes(values.data(), values.size_bytes());
  }
  // With the closing NUL.
  void text(std::string_view text) const {
    ensure(place_ == nullptr || room_ > text.size(), CL_INVALID_VALUE);
    if (place_ != nullptr) {
      std::memcpy(place_, text.data(), text.size());
      static_cast<char*>(place_)[text.size()] = '\0';
    }
    if (size_ != nullptr) *size_ = text.size() + 1;
  }

  size_t room() const { return room_; }
  void* place() const { return place_; }

 private:
  size_t room_;
  void* place_;
  size_t* size_;
};

}  // namespace tessera::client
