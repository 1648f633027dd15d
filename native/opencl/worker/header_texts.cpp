// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/header_texts.h"

#include <algorithm>

#include "base/sha256.h"
#include "opencl/shipped_texts.h"
#include "opencl/worker/object_table.h"

namespace tessera::worker {

HeaderTexts::HeaderTexts(Record record, std::size_t sources,
                         std::span<const std::uint32_t> part_sizes,
                         std::span<const std::uint32_t> part_files,
                         std::span<const std::uint32_t> text_ends)
    : record_(std::move(record)),
      sources_(sources),
      sizes_(part_sizes.begin(), part_sizes.end()),
      files_(part_files.begin(), part_files.end()),
      ends_(text_ends.begin(), text_ends.end()) {
  const auto refuse = [](const char* why) { throw ProtocolError(why); };
  if (sizes_.size() != files_.size()) refuse("parts of texts without a file each");
  if (sizes_.size() > kMaxShippedParts) refuse("more parts of texts than a build may have");
  if (!std::ranges::is_sorted(ends_) || (ends_.empty() ? 0 : ends_.back()) != sizes_.size()) {
    refuse("texts that do not fit their parts");
  }
  if (!ends_.empty() && ends_.size() < sources_) refuse("fewer texts than a build has sources");
  if (files() > kMaxShippedFiles) refuse("more files than a build may have");
  std::size_t begin = 0;
  for (std::size_t i = 0; i < sizes_.size(); ++i) {
    if (files_[i] > files()) refuse("a file that is not there");
    begins_.push_back(begin);
    begin += sizes_[i];
  }
  if (begin != record_.bulk().size()) refuse("parts of texts that do not fit their bytes");
}

std::string HeaderTexts::file_name(std::size_t number) {
  return "tessera-header-" + std::to_string(number);
}

std::string HeaderTexts::text(std::size_t index, std::string_view folder) const {
  const auto* const bytes = reinterpret_cast<const char*>(record_.bulk().data());
  std::string text;
  for (std::size_t part = first_part(index); part < ends_[index]; ++part) {
    text.append(bytes + begins_[part], sizes_[part]);
    if (files_[part] == 0) continue;
    text.append("\"").append(folder).append("/").append(file_name(files_[part])).append("\"");
  }
  return text;
}

std::string HeaderTexts::digest() const {
  Sha256 sum;
  const std::size_t from = ends_.empty() ? 0 : first_part(sources_);
  const auto add = [&](const std::vector<std::uint32_t>& numbers, std::size_t begin) {
    const auto rest = std::span(numbers).subspan(begin);
    const std::uint64_t count = rest.size();
    sum.add(std::as_bytes(std::span(&count, 1)));
    sum.add(std::as_bytes(rest));
  };
  add(sizes_, from);
  add(files_, from);
  std::vector<std::uint32_t> ends;
  for (std::size_t i = sources_; i < ends_.size(); ++i) {
    ends.push_back(ends_[i] - static_cast<std::uint32_t>(from));
  }
  add(ends, 0);
  sum.add(record_.bulk().subspan(from < begins_.size() ? begins_[from] : record_.bulk().size()));
  return sum.hex();
}

}  // namespace tessera::worker
