// SPDX-License-Identifier: Apache-2.0
#include "bench/lockstep.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>

namespace tessera::bench {
namespace {

void print_line(const std::string& line) {
  std::cout << line << '\n' << std::flush;
}

}  // namespace

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
  return value;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) out += c;
  }
  return out + '"';
}

std::string process_facts() {
  const char* lease = std::getenv("TESSERA_LEASE");
  return "\"pid\": " + std::to_string(getpid()) +
         ", \"lease\": " + (lease != nullptr ? quoted(lease) : "null");
}

std::string to_json(const Samples& samples) {
  std::ostringstream out;
  out.precision(12);
  out << '{';
  const char* separator = "";
  for (const auto& [name, values] : samples) {
    out << separator << quoted(name) << ": [";
    separator = "";
    for (const double value : values) {
      out << separator << value;
      separator = ", ";
    }
    out << ']';
    separator = ", ";
  }
  out << '}';
  return out.str();
}

std::string to_json(const Slice& slice) {
  std::ostringstream out;
  out.precision(12);
  out << "{\"event\": \"slice\", \"samples\": " << to_json(slice.samples) << ", \"counted\": {";
  const char* separator = "";
  for (const auto& [name, counted] : slice.counted) {
    out << separator << quoted(name) << ": {\"calls\": " << counted.calls
        << ", \"messages\": " << counted.messages << ", \"round_trips\": " << counted.round_trips
        << ", \"wakes\": " << counted.wakes << ", \"sleeps\": " << counted.sleeps << '}';
    separator = ", ";
  }
  out << "}}";
  return out.str();
}

int serve_turns(const std::string& ready, const std::function<std::string(unsigned)>& turn) {
  print_line(ready);
  for (std::string line; std::getline(std::cin, line);) {
    const auto amount = line.starts_with("run ") ? number(std::string_view(line).substr(4))
                                                 : std::optional<unsigned>{};
    if (!amount) {
      std::cerr << "not a command: " << line << " (known: run N)\n";
      return 2;
    }
    print_line(turn(*amount));
  }
  print_line("{\"event\": \"end\"}");
  return 0;
}

int serve(const std::string& ready, unsigned rounds, const std::function<void(Slice&)>& round) {
  const auto turn = [&](unsigned count) {
    Slice slice;
    for (unsigned i = 0; i < count; ++i) round(slice);
    return to_json(slice);
  };
  if (rounds == 0) return serve_turns(ready, turn);
  print_line(ready);
  for (unsigned i = 0; i < rounds; ++i) print_line(turn(1));
  return 0;
}

unsigned rounds_from(int argc, char** argv) {
  const std::string_view first = argc > 1 ? argv[1] : "";
  if (argc == 2 && first == "--lockstep") return 0;
  if (argc == 3 && first == "--rounds") {
    if (const auto rounds = number(argv[2])) return *rounds;
  }
  if (argc == 1) return 1;
  std::cerr << "usage: " << argv[0] << " [--rounds N | --lockstep]\n";
  std::exit(2);
}

}  // namespace tessera::bench
