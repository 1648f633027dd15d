// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace tessera::worker {

// A private copy of the message that made an object (or set a kernel's argument): the base from
// which a session can be replayed elsewhere. One block: the fields, then the bulk (sources,
// binaries).
class Record {
 public:
  Record() = default;
  Record(std::uint16_t opcode, std::span<const std::byte> fields,
         std::span<const std::byte> bulk = {})
      : opcode_(opcode),
        fields_(static_cast<std::uint32_t>(fields.size())),
        bulk_(static_cast<std::uint32_t>(bulk.size())),
        bytes_(new std::byte[fields.size() + bulk.size()]) {
    if (!fields.empty()) std::memcpy(bytes_.get(), fields.data(), fields.size());
    if (!bulk.empty()) std::memcpy(bytes_.get() + fields_, bulk.data(), bulk.size());
  }

  std::uint16_t opcode() const { return opcode_; }
  std::span<const std::byte> fields() const { return {bytes_.get(), fields_}; }
  // Sources and binaries; already private, so it may be looked at.
  std::span<const std::byte> bulk() const { return {bytes_.get() + fields_, bulk_}; }
  std::size_t size() const { return std::size_t{fields_} + bulk_; }

 private:
  std::uint16_t opcode_ = 0;
  std::uint32_t fields_ = 0;
  std::uint32_t bulk_ = 0;
  std::unique_ptr<std::byte[]> bytes_;
};

}  // namespace tessera::worker
