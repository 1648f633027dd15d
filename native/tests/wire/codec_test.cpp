// SPDX-License-Identifier: Apache-2.0
//
// The decoders: right fields come back, and anything cut, grown or flipped is refused or read the
// same.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "generated/dispatch_to_client.h"
#include "generated/dispatch_to_worker.h"
#include "wire/rewrite_check.h"

namespace {

using namespace tessera;
using namespace tessera::wire;

int failures = 0;

void check(bool condition, const char* what) {
  if (condition) return;
  ++failures;
  std::fprintf(stderr, "FAIL %s\n", what);
}

Incoming incoming_of(Opcode opcode, std::span<const std::byte> fields) {
  Incoming incoming;
  incoming.opcode = static_cast<std::uint16_t>(opcode);
  incoming.fields = fields;
  return incoming;
}

void fields_come_back() {
  const std::uint64_t waits[] = {7, 8, 9};
  const std::string_view names[] = {"a.h", "", "dir/b.h"};
  CompileProgram sent;
  sent.program = 11;
  sent.options = "-DX=1";
  sent.headers = waits;
  sent.header_names.assign(names, names + 3);
  sent.ticket = 1ull << 63;
  Encoder out;
  encode(out, sent);
  Decoder in(out.bytes());
  CompileProgram got;
  check(decode(in, got), "a message that was encoded decodes");
  check(got.program == 11 && got.options == "-DX=1" && got.ticket == 1ull << 63, "scalars, text");
  check(got.headers.size() == 3 && got.headers[2] == 9, "ids");
  check(got.header_names.size() == 3 && got.header_names[2] == "dir/b.h", "texts");
}

void cut_and_grown_are_refused() {
  CopyBufferRect sent;
  sent.queue = 1;
  sent.src_origin = {1, 2, 3};
  Encoder out;
  encode(out, sent);
  const auto whole = out.bytes();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    Decoder in(whole.first(size));
    CopyBufferRect got;
    check(!decode(in, got), "a cut message is refused");
  }
  std::vector<std::uint64_t> grown(whole.size() / 8 + 2);
  std::memcpy(grown.data(), whole.data(), whole.size());
  Decoder in(std::as_bytes(std::span(grown)));
  CopyBufferRect got;
  check(!decode(in, got), "a message with something behind it is refused");
}

void lying_counts_are_refused() {
  const std::uint32_t lie[] = {0xffffffffu, 0};
  Decoder in(std::as_bytes(std::span(lie)));
  check(in.u64s().empty() && !in.ok(), "a count beyond the message is refused");
  Decoder texts(std::as_bytes(std::span(lie)));
  check(texts.texts().empty() && !texts.ok(), "a count of texts beyond the message is refused");
}

void too_long_is_refused_at_the_sender() {
  std::vector<std::byte> large(kMaxMessageFields + 1);
  Encoder out;
  bool refused = false;
  try {
    out.blob(large);
  } catch (const TooLong&) {
    refused = true;
  }
  check(refused, "fields past what a message may have are refused by the encoder");
}

void bulk_only_where_specified() {
  FlushQueue flush;
  flush.queue = 3;
  Encoder out;
  encode(out, flush);
  std::byte memory[8];
  Incoming incoming = incoming_of(Opcode::flush_queue, out.bytes());
  incoming.bulk = Bulk(memory, sizeof memory, nullptr, nullptr, 0);
  RewriteCheck handler;
  check(dispatch_to_worker(handler, incoming) == Dispatched::malformed, "bulk where none belongs");
  incoming.bulk.forget();
  check(dispatch_to_worker(handler, incoming) == Dispatched::handled, "the same without bulk");
  Incoming unknown = incoming_of(static_cast<Opcode>(999), {});
  check(dispatch_to_worker(handler, unknown) == Dispatched::unknown, "an unknown opcode");
}

// Random bytes as fields of every opcode: nothing may crash, and what is accepted rewrites the
// same.
void random_fields_rewrite_the_same() {
  std::mt19937_64 random(20260101);
  RewriteCheck handler;
  std::vector<std::uint64_t> words(64);
  for (int round = 0; round < 200000; ++round) {
    const std::size_t size = random() % (words.size() * 8);
    for (auto& word : words) word = random() % 4 == 0 ? random() : random() % 8;
    const auto fields = std::as_bytes(std::span(words)).first(size);
    const std::uint16_t opcode = static_cast<std::uint16_t>(1 + random() % 60);
    Incoming to_worker = incoming_of(static_cast<Opcode>(opcode), fields);
    dispatch_to_worker(handler, to_worker);
    Incoming to_client = incoming_of(static_cast<Opcode>(opcode + kFirstToClient - 1), fields);
    dispatch_to_client(handler, to_client);
  }
  check(handler.held, "an accepted message rewrites the same");
  check(handler.handled > 100, "some random messages are accepted");
}

}  // namespace

int main() {
  fields_come_back();
  cut_and_grown_are_refused();
  lying_counts_are_refused();
  too_long_is_refused_at_the_sender();
  bulk_only_where_specified();
  random_fields_rewrite_the_same();
  std::printf("%s\n", failures == 0 ? "ok" : "failed");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
