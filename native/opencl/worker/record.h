// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

namespace tessera::worker {

// A private copy of the message that made an object (or of a kernel's argument): the base from
// which a session can be replayed elsewhere. One block: the fields, then the bulk (sources,
// binaries). It never changes, so copies share it.
class Record {
 public:
  Record() = default;
  Record(std::uint16_t opcode, std::span<const std::byte> fields,
         std::span<const std::byte> bulk = {})
      : opcode_(opcode),
        fields_(static_cast<std::uint32_t>(fields.size())),
        bulk_(static_cast<std::uint32_t>(bulk.size())),
        bytes_(joined(fields, bulk)) {}

  // False for the record that a limit of the session did not let in.
  explicit operator bool() const { return bytes_ != nullptr; }
  std::uint16_t opcode() const { return opcode_; }
  std::span<const std::byte> fields() const { return {bytes_.get(), fields_}; }
  // Sources and binaries; already private, so it may be looked at.
  std::span<const std::byte> bulk() const { return {bytes_.get() + fields_, bulk_}; }
  std::size_t size() const { return std::size_t{fields_} + bulk_; }

 private:
  static std::shared_ptr<const std::byte[]> joined(std::span<const std::byte> fields,
                                                   std::span<const std::byte> bulk) {
    auto bytes = std::make_shared_for_overwrite<std::byte[]>(fields.size() + bulk.size());
    if (!fields.empty()) std::memcpy(bytes.get(), fields.data(), fields.size());
    if (!bulk.empty()) std::memcpy(bytes.get() + fields.size(), bulk.data(), bulk.size());
    return bytes;
  }

  std::uint16_t opcode_ = 0;
  std::uint32_t fields_ = 0;
  std::uint32_t bulk_ = 0;
  std::shared_ptr<const std::byte[]> bytes_;
};

}  // namespace tessera::worker
