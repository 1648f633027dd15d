// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/launch_arguments.h"

#include <cstring>

#include "opencl/argument_kind.h"
#include "opencl/client/session.h"
#include "opencl/client/svm.h"

namespace tessera::client {
namespace {

ArgumentKind kind_of(const KernelArgument& argument) {
  switch (argument.what) {
    case KernelArgument::What::object:
      return ArgumentKind::object;
    case KernelArgument::What::local:
      return ArgumentKind::local;
    case KernelArgument::What::svm:
      return ArgumentKind::svm;
    case KernelArgument::What::pointer:
      return ArgumentKind::pointer;
    case KernelArgument::What::unset:
    case KernelArgument::What::value:
      break;
  }
  return ArgumentKind::value;
}

}  // namespace

LaunchArguments::LaunchArguments(Kernel& kernel) : kernel_(kernel), lock_(kernel.mutex_) {
  if (kernel.changes_ == 0) lock_.unlock();
  for (cl_uint index = 0; lock_ && index < kernel.arguments_.size(); ++index) {
    const KernelArgument& argument = kernel.arguments_[index];
    if (!argument.changed || add(index, argument)) continue;
    ensure(kernel.send(index), CL_INVALID_KERNEL_ARGS);
  }
}

bool LaunchArguments::add(cl_uint index, const KernelArgument& argument) {
  const std::size_t bytes = argument.value.size();
  if (count_ == kMost || bytes > kMostBytes - bytes_) return false;
  const ArgumentKind kind = kind_of(argument);
  indices_[count_] = index;
  kinds_[count_] = static_cast<std::uint32_t>(kind);
  numbers_[count_] = kind == ArgumentKind::value ? bytes : argument.number;
  if (bytes != 0) std::memcpy(values_.data() + bytes_, argument.value.data(), bytes);
  bytes_ += bytes;
  ++count_;
  return true;
}

void LaunchArguments::put_into(wire::EnqueueNdRange& message) const {
  message.arg_indices = std::span(indices_).first(count_);
  message.arg_kinds = std::span(kinds_).first(count_);
  message.arg_numbers = std::span(numbers_).first(count_);
  message.arg_values = std::span(values_).first(bytes_);
}

void LaunchArguments::sent() {
  for (std::size_t i = 0; i < count_; ++i) kernel_.mark_sent(kernel_.arguments_[indices_[i]]);
}

void Kernel::mark_changed(KernelArgument& argument) {
  if (!argument.changed) ++changes_;
  argument.changed = true;
}

void Kernel::mark_sent(KernelArgument& argument) {
  if (argument.changed) --changes_;
  argument.changed = false;
}

void Kernel::send_changes() {
  const std::lock_guard lock(mutex_);
  for (cl_uint index = 0; changes_ != 0 && index < arguments_.size(); ++index) {
    if (arguments_[index].changed) send(index);
  }
}

bool Kernel::send(cl_uint index) {
  KernelArgument& argument = arguments_[index];
  const auto post = [&](auto message) {
    message.kernel = id();
    message.index = index;
    session().post(message);
    mark_sent(argument);
    return true;
  };
  switch (kind_of(argument)) {
    case ArgumentKind::value: {
      wire::SetKernelArgValue message;
      message.value = argument.value;
      return post(message);
    }
    case ArgumentKind::object: {
      // Held, so that its release comes after this message.
      const Ref<Object> named = session().find_any(argument.number);
      if (argument.number != 0 && !named) return false;
      wire::SetKernelArgObject message;
      message.target = argument.number;
      return post(message);
    }
    case ArgumentKind::local: {
      wire::SetKernelArgLocal message;
      message.size = argument.number;
      return post(message);
    }
    case ArgumentKind::svm: {
      const auto* address = reinterpret_cast<const void*>(argument.number);
      if (address != nullptr && !is_svm(context(), address, 1)) return false;
      wire::SetKernelArgSvm message;
      message.address = argument.number;
      return post(message);
    }
    case ArgumentKind::pointer: {
      wire::SetKernelArgPointer message;
      message.address = argument.number;
      return post(message);
    }
  }
  return false;
}

}  // namespace tessera::client
