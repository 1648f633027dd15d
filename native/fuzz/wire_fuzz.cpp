// SPDX-License-Identifier: Apache-2.0
//
// Every decoder of both directions. Input: 2 bytes of opcode, then the fields.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "generated/dispatch_to_client.h"
#include "generated/dispatch_to_worker.h"
#include "wire/rewrite_check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  if (size < 2 || size > kMaxFields) return 0;
  Incoming incoming;
  std::memcpy(&incoming.opcode, data, 2);
  std::vector<std::uint64_t> aligned((size - 2 + 7) / 8);
  if (size > 2) std::memcpy(aligned.data(), data + 2, size - 2);
  incoming.fields = std::as_bytes(std::span(aligned)).first(size - 2);
  wire::RewriteCheck handler;
  if (incoming.opcode >= wire::kFirstToClient) {
    wire::dispatch_to_client(handler, incoming);
  } else {
    wire::dispatch_to_worker(handler, incoming);
  }
  if (!handler.held) std::abort();
  return 0;
}
