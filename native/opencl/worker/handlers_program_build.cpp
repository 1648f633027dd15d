// SPDX-License-Identifier: Apache-2.0
//
// Builds. A compiler may take minutes, so it runs without the session's lock and without the right
// to receive: other threads of the client go on meanwhile. The program is marked as `building`, and
// whatever else would touch it is refused until the end is told. What the client needs to know
// comes before build_done: the logs, then the facts about the kernels.
#include <algorithm>
#include <string>

#include "opencl/worker/compiler_confinement.h"
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/program_options.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// Bytes of a build's logs, of all devices together, that are passed on: what a client takes.
constexpr std::size_t kMaxLogs = wire::kMaxMessageBulk;

struct Outcome {
  cl_int status = CL_SUCCESS;
  // What is told is told of these; the lists below run parallel.
  std::vector<std::uint32_t> devices;
  std::vector<cl_int> build_status;
  std::vector<std::uint32_t> binary_types;
  std::vector<std::uint64_t> global_sizes;
  std::vector<std::string> logs;
  std::shared_ptr<const ProgramFacts> facts;
};

// At most `room` bytes, which become less by what is taken.
std::string log_of(cl_program program, cl_device_id device, std::size_t& room) {
  std::size_t size = 0;
  if (clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, 0, nullptr, &size) !=
          CL_SUCCESS ||
      size == 0) {
    return {};
  }
  std::string log(size, '\0');
  if (clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, size, log.data(), nullptr) !=
      CL_SUCCESS) {
    return {};
  }
  log.resize(std::min({log.size(), log.find('\0'), room}));
  room -= log.size();
  return log;
}

void collect(cl_program program, const std::vector<NumberedDevice>& devices, Outcome& outcome) {
  std::size_t room = kMaxLogs;
  for (const NumberedDevice& device : devices) {
    cl_build_status build = CL_BUILD_NONE;
    cl_program_binary_type type = CL_PROGRAM_BINARY_TYPE_NONE;
    std::size_t globals = 0;
    const auto ask = [&](cl_program_build_info what, auto& into) {
      clGetProgramBuildInfo(program, device.id, what, sizeof into, &into, nullptr);
    };
    ask(CL_PROGRAM_BUILD_STATUS, build);
    ask(CL_PROGRAM_BINARY_TYPE, type);
    ask(CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE, globals);
    outcome.devices.push_back(device.number);
    outcome.build_status.push_back(build);
    outcome.binary_types.push_back(type);
    outcome.global_sizes.push_back(globals);
    outcome.logs.push_back(log_of(program, device.id, room));
  }
}

// Some drivers know only the devices of the last build, and say of others what is true of those.
bool knows_all_devices(const ProgramEntry& program) {
  std::size_t size = 0;
  return program.devices.size() == 1 || (clGetProgramInfo(program.handle, CL_PROGRAM_BINARY_SIZES,
                                                          0, nullptr, &size) == CL_SUCCESS &&
                                         size == program.devices.size() * sizeof(std::size_t));
}

// Which devices have a build now; of one that lost its own the client is told.
std::vector<std::uint32_t> built_after(const ProgramEntry& program, Outcome& outcome) {
  std::vector<std::uint32_t> built;
  for (std::size_t i = 0; i < outcome.devices.size(); ++i) {
    if (outcome.build_status[i] == CL_BUILD_SUCCESS) built.push_back(outcome.devices[i]);
  }
  const bool keeps = knows_all_devices(program);
  for (const std::uint32_t number : program.built_for) {
    if (std::ranges::find(outcome.devices, number) != outcome.devices.end()) continue;
    if (keeps) {
      built.push_back(number);
      continue;
    }
    outcome.devices.push_back(number);
    outcome.build_status.push_back(CL_BUILD_NONE);
    outcome.binary_types.push_back(CL_PROGRAM_BINARY_TYPE_NONE);
    outcome.global_sizes.push_back(0);
    outcome.logs.emplace_back();
  }
  return built;
}

void collect_facts(cl_program program, const std::vector<NumberedDevice>& built, Outcome& outcome) {
  const bool executable = std::ranges::any_of(outcome.binary_types, [](std::uint32_t type) {
    return type == CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
  });
  if (!executable) return;
  cl_int error = CL_SUCCESS;
  auto facts = find_facts(program, built, &error);
  if (error == CL_SUCCESS) outcome.facts = std::move(facts);
}

void send_log(Answers& answers, Id program, std::uint32_t device, std::string_view log) {
  if (answers.muted()) return;
  while (!log.empty()) {
    const std::string_view piece = log.substr(0, kPiece);
    wire::BuildLog message;
    message.program = program;
    message.device = device;
    answers.send(message, answers.bulk_of(std::as_bytes(std::span(piece))));
    log.remove_prefix(piece.size());
  }
}

void tell(Answers& answers, std::uint64_t ticket, const ProgramEntry& program,
          const Outcome& outcome) {
  for (std::size_t i = 0; i < outcome.logs.size(); ++i) {
    send_log(answers, program.id, outcome.devices[i], outcome.logs[i]);
  }
  if (outcome.facts != nullptr) send_facts(answers, program.id, *outcome.facts);
  // A binary is only made when somebody asks for it: with some drivers that is the larger part of
  // the compiler's work.
  const std::vector<std::uint64_t> unknown(outcome.build_status.size());
  wire::BuildDone done;
  done.ticket = ticket;
  done.program = program.id;
  done.status = outcome.status;
  done.devices = outcome.devices;
  done.build_status = outcome.build_status;
  done.binary_types = outcome.binary_types;
  done.binary_sizes = unknown;
  done.global_variable_sizes = outcome.global_sizes;
  answers.build_done(done);
}

// Every one of `wanted` is a device of the program.
bool has_all(const ProgramEntry& program, std::span<const std::uint32_t> wanted) {
  return std::ranges::all_of(wanted, [&](std::uint32_t number) {
    return std::ranges::find(program.devices, number) != program.devices.end();
  });
}

// Those of `wanted`, or all, in the program's order: a driver may keep its answers in the order
// that it was given.
std::vector<std::uint32_t> in_order(const ProgramEntry& program,
                                    std::span<const std::uint32_t> wanted) {
  if (wanted.empty()) return program.devices;
  std::vector<std::uint32_t> ordered(wanted.begin(), wanted.end());
  std::ranges::sort(ordered, {}, [&](std::uint32_t number) {
    return std::ranges::find(program.devices, number) - program.devices.begin();
  });
  return ordered;
}

// The client is told why its options are not passed on, as by a driver that does not know them.
Outcome refused_options(cl_int status, std::vector<std::uint32_t> devices, std::string log) {
  Outcome outcome;
  outcome.status = status;
  outcome.devices = std::move(devices);
  outcome.build_status.assign(outcome.devices.size(), CL_BUILD_ERROR);
  outcome.binary_types.assign(outcome.devices.size(), CL_PROGRAM_BINARY_TYPE_NONE);
  outcome.global_sizes.assign(outcome.devices.size(), 0);
  outcome.logs.assign(outcome.devices.size(), log);
  return outcome;
}

Build as_build(const Incoming& incoming,
               std::span<const std::shared_ptr<ProgramEntry>> headers = {}) {
  Build build;
  build.message = Record(incoming.opcode, incoming.fields);
  for (const auto& each : headers) {
    build.headers.push_back({each->id, each->serial, each->record});
  }
  return build;
}

cl_uint count(const std::vector<cl_device_id>& devices) {
  return static_cast<cl_uint>(devices.size());
}

}  // namespace

// Runs `translate`, which calls the driver with `options`, and tells the client how it ended.
void Session::build(const std::shared_ptr<ProgramEntry>& program, std::uint64_t ticket,
                    cl_int status, Build build, const std::optional<std::string>& options,
                    std::vector<std::uint32_t> devices, const std::function<cl_int()>& translate) {
  Outcome outcome;
  outcome.status = status;
  if (status == CL_SUCCESS && !may_block()) outcome.status = CL_OUT_OF_RESOURCES;
  if (outcome.status != CL_SUCCESS) return tell(answers_, ticket, *program, outcome);
  program->last_for = std::move(devices);
  program->building = true;
  build.serial = objects_.next_serial();
  build.constants = program->constants;
  program->facts = nullptr;
  std::vector<std::string> folders;
  if (client_sees_files_ && options) folders = include_folders(*options);
  blocking([&] {
    const auto work = [&] {
      outcome.status = translate();
      if (program->handle == nullptr) return;
      collect(program->handle, numbered(program->last_for), outcome);
      program->built_for = built_after(*program, outcome);
      collect_facts(program->handle, numbered(program->built_for), outcome);
    };
    CompilerConfinement::of_process().run(work, folders);
  });
  program->building = false;
  program->facts = outcome.facts;
  ++program->builds;
  program->failed = {};
  (outcome.status == CL_SUCCESS ? program->built : program->failed) = std::move(build);
  tell(answers_, ticket, *program, outcome);
}

cl_int Session::may_build(const ProgramEntry& program, std::span<const std::uint32_t> devices) {
  if (program.poison != CL_SUCCESS) return program.poison;
  if (program.building) return CL_INVALID_OPERATION;
  return has_all(program, devices) ? CL_SUCCESS : CL_INVALID_DEVICE;
}

void Session::handle(const wire::BuildProgram& m, Incoming& incoming) {
  const auto program = objects_.share<ProgramEntry>(m.program);
  const cl_int status = may_build(*program, m.devices);
  const std::vector<std::uint32_t> numbers = in_order(*program, m.devices);
  const std::vector<cl_device_id> devices = devices_of(*program->context, numbers);
  const auto options = options_for_driver(m.options);
  if (status == CL_SUCCESS && !options) {
    return tell(answers_, m.ticket, *program,
                refused_options(CL_INVALID_BUILD_OPTIONS, numbers, why_refused(m.options)));
  }
  build(program, m.ticket, status, as_build(incoming), options, numbers, [&] {
    return clBuildProgram(program->handle, count(devices), devices.data(),
                          with_kernel_arg_info(*options).c_str(), nullptr, nullptr);
  });
}

void Session::handle(const wire::CompileProgram& m, Incoming& incoming) {
  const auto program = objects_.share<ProgramEntry>(m.program);
  const auto options = options_for_driver(m.options);
  if (m.headers.size() != m.header_names.size()) {
    throw ProtocolError("headers without a name each");
  }
  cl_int status = may_build(*program, m.devices);
  const std::vector<std::uint32_t> numbers = in_order(*program, m.devices);
  const std::vector<cl_device_id> devices = devices_of(*program->context, numbers);
  if (status == CL_SUCCESS && !options) {
    return tell(answers_, m.ticket, *program,
                refused_options(CL_INVALID_COMPILER_OPTIONS, numbers, why_refused(m.options)));
  }
  std::vector<std::shared_ptr<ProgramEntry>> held;
  std::vector<cl_program> headers;
  const std::vector<std::string> texts(m.header_names.begin(), m.header_names.end());
  std::vector<const char*> names;
  for (std::size_t i = 0; i < m.headers.size(); ++i) {
    held.push_back(objects_.share<ProgramEntry>(m.headers[i]));
    headers.push_back(held.back()->handle);
    names.push_back(texts[i].c_str());
    if (status == CL_SUCCESS) status = may_build(*held.back(), {});
    if (status == CL_SUCCESS && held.back()->context != program->context) {
      status = CL_INVALID_PROGRAM;
    }
  }
  build(program, m.ticket, status, as_build(incoming, held), options, numbers, [&] {
    return clCompileProgram(
        program->handle, count(devices), devices.data(), with_kernel_arg_info(*options).c_str(),
        static_cast<cl_uint>(headers.size()), headers.empty() ? nullptr : headers.data(),
        names.empty() ? nullptr : names.data(), nullptr, nullptr);
  });
}

void Session::handle(const wire::LinkProgram& m, Incoming& incoming) {
  const auto context = objects_.share<ContextEntry>(m.context);
  const auto options = options_for_driver(m.options);
  std::vector<std::shared_ptr<ProgramEntry>> held;
  std::vector<cl_program> inputs;
  cl_int status = context->poison;
  if (status == CL_SUCCESS && !options) status = CL_INVALID_LINKER_OPTIONS;
  for (const Id id : m.inputs) {
    held.push_back(objects_.share<ProgramEntry>(id));
    inputs.push_back(held.back()->handle);
    if (status == CL_SUCCESS) status = may_build(*held.back(), {});
    if (status == CL_SUCCESS && held.back()->context != context) status = CL_INVALID_PROGRAM;
  }
  if (status == CL_SUCCESS && inputs.empty()) status = CL_INVALID_VALUE;
  const auto program =
      objects_.add<ProgramEntry>(m.program, Record(incoming.opcode, incoming.fields));
  program->context = context;
  program->devices.assign(m.devices.begin(), m.devices.end());
  if (program->devices.empty()) program->devices = context->devices;
  const std::vector<cl_device_id> devices = devices_of(*context, program->devices);
  if (program->poison != CL_SUCCESS) status = program->poison;
  output_.expect();
  const std::uint64_t ticket = m.ticket;
  for (const auto& each : held) program->link.inputs.push_back({each, each->builds});
  build(program, ticket, status, {}, options, program->devices, [&] {
    const auto link = [&](const std::string& words) {
      cl_int error = CL_SUCCESS;
      program->handle = clLinkProgram(context->handle, count(devices), devices.data(),
                                      words.c_str(), static_cast<cl_uint>(inputs.size()),
                                      inputs.data(), nullptr, nullptr, &error);
      return error;
    };
    // The option is the compiler's: some linkers keep what it tells only where they are asked too,
    // others refuse it.
    const cl_int error = link(with_kernel_arg_info(*options));
    if (error != CL_INVALID_LINKER_OPTIONS || program->handle != nullptr) return error;
    return link(*options);
  });
  if (program->handle == nullptr && program->poison == CL_SUCCESS) {
    program->poison = CL_INVALID_PROGRAM;
  }
}

}  // namespace tessera::worker
