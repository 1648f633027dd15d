// SPDX-License-Identifier: Apache-2.0
//
// The property every message has: what a decoder accepts, written again, is read as the same again.
// Used by the unit test and the fuzzer, so that both hold the same promise.
#pragma once

#include <cstring>

#include "transport/channel.h"
#include "wire/codec.h"

namespace tessera::wire {

struct RewriteCheck {
  bool held = true;
  std::size_t handled = 0;

  template <class Message>
  void handle(const Message& message, Incoming&) {
    ++handled;
    Encoder first;
    encode(first, message);
    const auto bytes = first.bytes();
    // Decoding wants 8-aligned bytes that the encoder's own buffer provides.
    Decoder in(bytes);
    Message again;
    if (!decode(in, again)) {
      held = false;
      return;
    }
    Encoder second;
    encode(second, again);
    held = held && bytes.size() == second.bytes().size() &&
           (bytes.empty() || std::memcmp(bytes.data(), second.bytes().data(), bytes.size()) == 0);
  }
};

}  // namespace tessera::wire
