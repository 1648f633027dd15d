// SPDX-License-Identifier: Apache-2.0
//
// What the device says of itself, so that a run through a lease can be compared with the bare
// device.
#pragma once

#include <string>

namespace tessera::conformance {

// A JSON string literal.
std::string json_text(const std::string& text);

// Every device parameter of the standard, and of the extensions that the device announces, by its
// name: bytes in hexadecimal, or "error CODE".
void print_facts();

}  // namespace tessera::conformance
