// SPDX-License-Identifier: Apache-2.0
//
// What is read of a program's texts: the parts that a client ships, as the worker takes them, and
// the sources that both sides look through.
//
// Input: u8 number of parts, u8 number of texts, u8 number of sources, for each part u16 size and
// u8 file, for each text u8 end, then the bytes.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "opencl/client/include_scan.h"
#include "opencl/worker/header_texts.h"
#include "opencl/worker/object_table.h"
#include "opencl/worker/program_variables.h"

namespace {

using namespace tessera;

void require(bool holds) {
  if (!holds) std::abort();
}

void look_through(std::string_view text) {
  const auto scan = client::scan_includes(text);
  std::size_t at = 0;
  for (const auto& mention : scan.mentions) {
    require(mention.begin >= at && mention.begin < mention.end && mention.end <= text.size());
    at = mention.end;
  }
  at = 0;
  for (const auto& definition : scan.definitions) {
    require(definition.line_end >= at && definition.line_end <= text.size());
    require(definition.next_line >= 2);
    at = definition.line_end;
  }
  worker::declares_variables(text);
}

void take_apart(const worker::Record& record, std::size_t sources,
                const std::vector<std::uint32_t>& sizes, const std::vector<std::uint32_t>& files,
                const std::vector<std::uint32_t>& ends) {
  try {
    const worker::HeaderTexts texts(record, sources, sizes, files, ends);
    std::size_t all = 0;
    for (std::size_t i = 0; texts && i < sources; ++i) all += texts.source(i, {}).size();
    for (std::size_t i = 1; i <= texts.files(); ++i) all += texts.file(i, {}).size();
    require(all >= record.bulk().size());
    require(texts.digest().size() == 64);
  } catch (const worker::ProtocolError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> input(data, size);
  std::size_t at = 0;
  const auto next = [&]() -> std::uint32_t { return at < input.size() ? input[at++] : 0; };
  const std::uint32_t parts = next();
  const std::uint32_t texts = next();
  const std::uint32_t sources = 1 + next() % 4;
  std::vector<std::uint32_t> sizes, files, ends;
  for (std::uint32_t i = 0; i < parts; ++i) {
    const std::uint32_t low = next();
    sizes.push_back(low | next() << 8);
    files.push_back(next());
  }
  for (std::uint32_t i = 0; i < texts; ++i) ends.push_back(next());
  const auto bytes = std::as_bytes(input.subspan(at));
  take_apart(worker::Record(1, {}, bytes), sources, sizes, files, ends);
  look_through({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return 0;
}
