// SPDX-License-Identifier: Apache-2.0
#include "guest/request.h"

#include <charconv>
#include <string_view>

#include "guest/frame.h"

namespace tessera::guest {
namespace {

template <typename Number>
Number number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw BadFrame("'" + std::string(text) + "' is no number");
  }
  return value;
}

TerminalSize size_of(std::string_view text) {
  const std::size_t middle = text.find('x');
  if (middle == std::string_view::npos) throw BadFrame("a terminal of no size");
  return {number<unsigned short>(text.substr(0, middle)),
          number<unsigned short>(text.substr(middle + 1))};
}

}  // namespace

void Request::add(const std::string& word) {
  const std::size_t middle = word.find('=');
  const std::string name = word.substr(0, middle);
  const std::string value = middle == std::string::npos ? "" : word.substr(middle + 1);
  if (name == "argument") {
    arguments.push_back(value);
  } else if (name == "variable") {
    variables.push_back(value);
  } else if (name == "directory") {
    directory = value;
  } else if (name == "hostname") {
    hostname = value;
  } else if (name == "user") {
    user = value;
  } else if (name == "share") {
    if (shares.size() == kMostShares) throw BadFrame("more shares than disks can be");
    shares.push_back(value);
  } else if (name == "terminal") {
    terminal = size_of(value);
  } else {
    throw BadFrame("a word of unknown meaning: " + name);
  }
}

}  // namespace tessera::guest
