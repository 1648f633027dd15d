// SPDX-License-Identifier: Apache-2.0
//
// How the fields of a message become bytes: little endian, in the order of the specification.
//
// Numbers are aligned to their size, counted things begin with a u32 count, and arrays of u64 begin
// at a multiple of 8, so that a decoder can hand out spans over the receiver's private copy instead
// of copying again. A self-describing format was refused: both sides are generated from one file,
// and the tags would cost more bytes than most messages have.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "transport/channel.h"

namespace tessera::wire {

using Id = std::uint64_t;
using Id3 = std::array<std::uint64_t, 3>;
using Blob = std::span<const std::byte>;

// What became of an incoming message.
enum class Dispatched { handled, malformed, unknown };

// What one message may have; what no frame can carry of it goes in pieces (opencl/long_message.h).
// The fields have room for twice the ids of all objects that a session may have.
inline constexpr std::size_t kMaxMessageFields = 16 * 1024 * 1024;  // bytes
inline constexpr std::size_t kMaxMessageBulk = 256 * 1024 * 1024;   // bytes

// The message has more fields than that.
class TooLong : public std::length_error {
 public:
  TooLong() : std::length_error("message fields exceed what a message may have") {}
};

// Appends to a buffer that lives on the stack until it needs more.
class Encoder {
 public:
  void u32(std::uint32_t value) { put(&value, sizeof value, 4); }
  void i32(std::int32_t value) { put(&value, sizeof value, 4); }
  void u64(std::uint64_t value) { put(&value, sizeof value, 8); }
  void u64x3(const Id3& value) { put(value.data(), sizeof value, 8); }
  void u32s(std::span<const std::uint32_t> values) { array(values, 4); }
  void i32s(std::span<const std::int32_t> values) { array(values, 4); }
  void u64s(std::span<const std::uint64_t> values) { array(values, 8); }
  void blob(Blob value) { array(value, 1); }
  void text(std::string_view value) { blob(std::as_bytes(std::span(value))); }
  void texts(std::span<const std::string_view> values) {
    u32(static_cast<std::uint32_t>(values.size()));
    for (const auto& value : values) text(value);
  }
  void blobs(std::span<const Blob> values) {
    u32(static_cast<std::uint32_t>(values.size()));
    for (const auto& value : values) blob(value);
  }
  std::span<const std::byte> bytes() const { return {data(), used_}; }

 private:
  template <class T>
  void array(std::span<const T> values, std::size_t alignment) {
    u32(static_cast<std::uint32_t>(values.size()));
    put(values.data(), values.size_bytes(), alignment);
  }
  void put(const void* from, std::size_t size, std::size_t alignment) {
    const std::size_t at = (used_ + alignment - 1) & ~(alignment - 1);
    // Written without additions that could wrap: `size` may be anything a caller was handed.
    if (at > kMaxMessageFields || size > kMaxMessageFields - at) throw TooLong();
    if (at + size > capacity_) grow(at + size);
    std::memset(data() + used_, 0, at - used_);
    if (size != 0) std::memcpy(data() + at, from, size);
    used_ = at + size;
  }
  void grow(std::size_t needed) {
    const std::size_t capacity = std::max(needed, capacity_ * 4);
    std::unique_ptr<std::byte[]> bigger(new std::byte[capacity]);
    std::memcpy(bigger.get(), data(), used_);
    heap_ = std::move(bigger);
    capacity_ = capacity;
  }
  std::byte* data() { return heap_ ? heap_.get() : stack_.data(); }
  const std::byte* data() const { return heap_ ? heap_.get() : stack_.data(); }

  std::size_t used_ = 0;
  std::size_t capacity_ = 512;
  std::unique_ptr<std::byte[]> heap_;
  // Deliberately not cleared: `used_` says which part was written.
  alignas(8) std::array<std::byte, 512> stack_;
};

// Reads what Encoder wrote, trusting nothing. After the first thing that does not fit every further
// read gives zeros and `ok()` is false. `from` must be 8-aligned; spans and views point into it.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> from) : from_(from) {}

  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::int32_t i32() { return number<std::int32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  Id3 u64x3() {
    Id3 value{};
    for (auto& each : value) each = u64();
    return value;
  }
  std::span<const std::uint32_t> u32s() { return array<std::uint32_t>(); }
  std::span<const std::int32_t> i32s() { return array<std::int32_t>(); }
  std::span<const std::uint64_t> u64s() { return array<std::uint64_t>(); }
  Blob blob() { return array<std::byte>(); }
  std::string_view text() {
    const Blob value = blob();
    return {reinterpret_cast<const char*>(value.data()), value.size()};
  }
  std::vector<std::string_view> texts() {
    std::vector<std::string_view> values(count(sizeof(std::uint32_t)));
    for (auto& value : values) value = text();
    return values;
  }
  std::vector<Blob> blobs() {
    std::vector<Blob> values(count(sizeof(std::uint32_t)));
    for (auto& value : values) value = blob();
    return values;
  }
  bool ok() const { return ok_; }
  // Everything was read and nothing is left over.
  bool complete() const { return ok_ && at_ == from_.size(); }

 private:
  template <class T>
  T number() {
    T value{};
    if (const std::byte* at = take(sizeof(T), sizeof(T))) std::memcpy(&value, at, sizeof(T));
    return value;
  }
  template <class T>
  std::span<const T> array() {
    const std::size_t n = count(sizeof(T));
    const std::byte* at = take(n * sizeof(T), sizeof(T));
    return at != nullptr ? std::span<const T>(reinterpret_cast<const T*>(at), n)
                         : std::span<const T>();
  }
  // A count that its elements, of at least `size` bytes each, can still fill.
  std::size_t count(std::size_t size) {
    const std::size_t n = u32();
    if (n > (from_.size() - at_) / size) {
      ok_ = false;
      return 0;
    }
    return n;
  }
  const std::byte* take(std::size_t size, std::size_t alignment) {
    const std::size_t at = (at_ + alignment - 1) & ~(alignment - 1);
    if (!ok_ || at > from_.size() || size > from_.size() - at) {
      ok_ = false;
      return nullptr;
    }
    at_ = at + size;
    return from_.data() + at;
  }

  std::span<const std::byte> from_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

}  // namespace tessera::wire
