// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "opencl/worker/record.h"

namespace tessera::worker {

// The texts of a build (opencl/shipped_texts.h), from a message that nobody has judged yet.
class HeaderTexts {
 public:
  // `record` holds the bytes; `sources` of the texts are no files. Throws ProtocolError for parts
  // that do not fit the bytes and each other.
  HeaderTexts(Record record, std::size_t sources, std::span<const std::uint32_t> part_sizes,
              std::span<const std::uint32_t> part_files, std::span<const std::uint32_t> text_ends);

  // False: nothing is included.
  explicit operator bool() const { return !ends_.empty(); }
  std::size_t files() const { return ends_.empty() ? 0 : ends_.size() - sources_; }
  // Texts of sources, from 0, and of files, from 1, which lie in `folder`.
  std::string source(std::size_t number, std::string_view folder) const {
    return text(number, folder);
  }
  std::string file(std::size_t number, std::string_view folder) const {
    return text(sources_ + number - 1, folder);
  }
  // Differs where the files do.
  std::string digest() const;
  static std::string file_name(std::size_t number);

 private:
  std::string text(std::size_t index, std::string_view folder) const;
  std::size_t first_part(std::size_t index) const { return index == 0 ? 0 : ends_[index - 1]; }

  Record record_;
  std::size_t sources_;
  std::vector<std::uint32_t> sizes_, files_, ends_;
  std::vector<std::size_t> begins_;  // of each part, in the bytes
};

}  // namespace tessera::worker
