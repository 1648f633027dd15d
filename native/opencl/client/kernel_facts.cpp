// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/kernel_facts.h"

#include <cctype>
#include <stdexcept>

namespace tessera::client {
namespace {

constexpr std::size_t kWorkGroupFigures = 8;  // of message kernel_facts, for each device

bool names_vector_of_three(const std::string& type) {
  const std::size_t n = type.size();
  return n >= 2 && type[n - 1] == '3' && std::isalpha(static_cast<unsigned char>(type[n - 2])) != 0;
}

// A list that runs parallel to the arguments, or is empty because the driver tells nothing.
template <class List>
bool parallel(const List& list, std::size_t args) {
  return list.empty() || list.size() == args;
}

void check_facts(const wire::KernelFacts& m) {
  const std::size_t args = m.arg_kinds.size();
  const bool fits = m.arg_sizes.size() == args && parallel(m.arg_address, args) &&
                    parallel(m.arg_access, args) && parallel(m.arg_type_qualifiers, args) &&
                    parallel(m.arg_type_names, args) && parallel(m.arg_names, args) &&
                    m.work_group.size() == kWorkGroupFigures * m.devices.size();
  if (!fits) throw std::runtime_error("the worker's kernel facts do not fit together");
}

ArgFacts argument(const wire::KernelFacts& m, std::size_t i) {
  ArgFacts arg;
  arg.kind = static_cast<ArgKind>(m.arg_kinds[i]);
  arg.size = m.arg_sizes[i];
  if (!m.arg_address.empty()) arg.address = m.arg_address[i];
  if (!m.arg_access.empty()) arg.access = m.arg_access[i];
  if (!m.arg_type_qualifiers.empty()) arg.qualifiers = m.arg_type_qualifiers[i];
  if (!m.arg_type_names.empty()) arg.type_name = m.arg_type_names[i];
  if (!m.arg_names.empty()) arg.name = m.arg_names[i];
  return arg;
}

}  // namespace

bool ArgFacts::takes(std::size_t bytes, std::size_t max_parameter_size) const {
  if (size == 0) return bytes >= 1 && bytes <= max_parameter_size;
  return bytes == size || (names_vector_of_three(type_name) && bytes == size / 4 * 3);
}

KernelFacts KernelFacts::from(const wire::KernelFacts& m) {
  check_facts(m);
  KernelFacts facts;
  facts.name = m.name;
  facts.attributes = m.attributes;
  facts.args_described = m.arg_kinds.empty() || !m.arg_type_names.empty();
  for (std::size_t i = 0; i < m.arg_kinds.size(); ++i) facts.args.push_back(argument(m, i));
  for (std::size_t i = 0; i < m.devices.size(); ++i) {
    const auto figures = m.work_group.subspan(i * kWorkGroupFigures, kWorkGroupFigures);
    facts.work_group[m.devices[i]] = {.max_size = figures[0],
                                      .required_size = {figures[1], figures[2], figures[3]},
                                      .local_memory = figures[4],
                                      .preferred_multiple = figures[5],
                                      .private_memory = figures[6]};
  }
  return facts;
}

}  // namespace tessera::client
