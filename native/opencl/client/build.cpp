// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/build.h"

#include <algorithm>
#include <stdexcept>

namespace tessera::client {
namespace {

constexpr std::size_t kMaxLogs =
    wire::kMaxMessageBulk;  // bytes of one build's logs, of all devices

void finish(const std::shared_ptr<Build>& build) {
  build->program->end_build(*build);
  build->set_ended();
  if (!build->notify) return;
  build->program->session().callbacks().deliver(
      [build] { build->notify.function(build->program->handle(), build->notify.user_data); });
}

// Nothing more will be heard of it.
void fail(const std::shared_ptr<Build>& build, cl_int status) {
  build->status = status;
  build->facts.clear();
  build->results.clear();
  for (const Device* device : build->devices) {
    build->results.push_back({.device = device->index(),
                              .status = CL_BUILD_ERROR,
                              .binary_type = CL_PROGRAM_BINARY_TYPE_NONE,
                              .binary_size = 0,
                              .global_variables = 0});
  }
  finish(build);
}

void post_build(const std::shared_ptr<Build>& build, const std::function<void(Session&)>& send) {
  Session& session = build->program->session();
  session.builds().add(build);
  if (build->notify) session.callbacks().expect();
  try {
    send(session);
    session.flush();
  } catch (...) {
    // A session that was lost meanwhile has ended the build already.
    if (session.builds().take(build->ticket) != nullptr) {
      if (build->notify) session.callbacks().forget();
      build->program->end_build(*build);
    }
    throw;
  }
}

}  // namespace

void run_build(const std::shared_ptr<Build>& build, const std::function<void(Session&)>& send) {
  build->program->begin_build(build);
  post_build(build, send);
  if (build->notify) return;
  Session& session = build->program->session();
  session.count_round_trip();
  session.wait_until([&] { return build->ended(); });
  ensure_success(build->status);
}

std::vector<std::uint32_t> device_indexes(const std::vector<Device*>& devices) {
  std::vector<std::uint32_t> indexes;
  for (const Device* device : devices) indexes.push_back(device->index());
  return indexes;
}

void on_build_log(Session& session, const wire::BuildLog& message, const Bulk& bulk) {
  const Ref<Program> program = session.find<Program>(message.program);
  const std::shared_ptr<Build> build = program ? program->build() : nullptr;
  if (build == nullptr) return;
  // A long log comes in pieces.
  std::string& log = build->logs[message.device];
  if (bulk.size() > kMaxLogs - std::min(kMaxLogs, build->log_bytes)) {
    throw std::runtime_error("the worker sent a build log without an end");
  }
  build->log_bytes += bulk.size();
  const std::size_t known = log.size();
  log.append(reinterpret_cast<const char*>(bulk.data()), bulk.size());
  log.resize(std::min(log.size(), log.find('\0', known)));
}

void on_kernel_facts(Session& session, const wire::KernelFacts& message) {
  const Ref<Program> program = session.find<Program>(message.program);
  if (!program) return;
  KernelFacts facts = KernelFacts::from(message);
  if (const std::shared_ptr<Build> build = program->build(); build != nullptr) {
    build->facts.push_back(std::make_shared<const KernelFacts>(std::move(facts)));
  } else {
    program->add_facts(std::make_shared<const KernelFacts>(std::move(facts)));
  }
}

void on_build_done(Session& session, const wire::BuildDone& message) {
  const std::shared_ptr<Build> build = session.builds().take(message.ticket);
  if (build == nullptr) throw std::runtime_error("the worker ended a build that nobody asked for");
  const std::size_t n = message.devices.size();
  if (message.build_status.size() != n || message.binary_types.size() != n ||
      message.binary_sizes.size() != n || message.global_variable_sizes.size() != n) {
    fail(build, CL_OUT_OF_RESOURCES);
    throw std::runtime_error("the worker's build results do not fit together");
  }
  build->status = message.status;
  for (std::size_t i = 0; i < n; ++i) {
    build->results.push_back({.device = message.devices[i],
                              .status = message.build_status[i],
                              .binary_type = message.binary_types[i],
                              .binary_size = message.binary_sizes[i],
                              .global_variables = message.global_variable_sizes[i]});
  }
  finish(build);
}

void on_session_lost(Session& session) {
  for (const auto& build : session.builds().take_all()) fail(build, CL_OUT_OF_RESOURCES);
}

}  // namespace tessera::client
