// SPDX-License-Identifier: Apache-2.0
//
// Builds. A compiler may take minutes, so it runs without the session's lock and without the right
// to receive: other threads of the client go on meanwhile. The program is marked as `building`, and
// whatever else would touch it is refused until the end is told. What the client needs to know
// comes before build_done: the logs, then the facts about the kernels.
//
// A driver's program keeps the text that it was made with, and the text depends on which files a
// build includes. So such a build makes the driver's program anew.
#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <system_error>

#include "opencl/worker/compiler_confinement.h"
#include "opencl/worker/header_folder.h"
#include "opencl/worker/header_texts.h"
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/program_options.h"
#include "opencl/worker/program_variables.h"
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

  // The device has no build any more.
  void lose(std::uint32_t device) {
    devices.push_back(device);
    build_status.push_back(CL_BUILD_NONE);
    binary_types.push_back(CL_PROGRAM_BINARY_TYPE_NONE);
    global_sizes.push_back(0);
    logs.emplace_back();
  }
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

// `related`: parts of the same devices that were not asked for. Drivers let them share a build, so
// it is the driver who knows whether they have one now. Where not, those that had one lost it.
void collect(const ProgramEntry& program, cl_program handle,
             const std::vector<NumberedDevice>& devices, bool related, Outcome& outcome) {
  std::size_t room = kMaxLogs;
  for (const std::string& log : outcome.logs) room -= log.size();
  for (const NumberedDevice& device : devices) {
    cl_build_status build = CL_BUILD_NONE;
    cl_program_binary_type type = CL_PROGRAM_BINARY_TYPE_NONE;
    std::size_t globals = 0;
    const auto ask = [&](cl_program_build_info what, auto& into) {
      clGetProgramBuildInfo(handle, device.id, what, sizeof into, &into, nullptr);
    };
    ask(CL_PROGRAM_BUILD_STATUS, build);
    if (related && build != CL_BUILD_SUCCESS) {
      const bool lost =
          std::ranges::find(program.built_for, device.number) != program.built_for.end();
      if (lost) outcome.lose(device.number);
      continue;
    }
    ask(CL_PROGRAM_BINARY_TYPE, type);
    ask(CL_PROGRAM_BUILD_GLOBAL_VARIABLE_TOTAL_SIZE, globals);
    outcome.devices.push_back(device.number);
    outcome.build_status.push_back(build);
    outcome.binary_types.push_back(type);
    outcome.global_sizes.push_back(globals);
    outcome.logs.push_back(log_of(handle, device.id, room));
  }
}

// Some drivers know only the devices of the last build, and say of others what is true of those.
bool knows_all_devices(const ProgramEntry& program, cl_program handle) {
  std::size_t size = 0;
  return program.devices.size() == 1 ||
         (clGetProgramInfo(handle, CL_PROGRAM_BINARY_SIZES, 0, nullptr, &size) == CL_SUCCESS &&
          size == program.devices.size() * sizeof(std::size_t));
}

// Which devices have a build now; of one that lost its own the client is told.
std::vector<std::uint32_t> built_after(const ProgramEntry& program, cl_program handle,
                                       Outcome& outcome) {
  std::vector<std::uint32_t> built;
  for (std::size_t i = 0; i < outcome.devices.size(); ++i) {
    if (outcome.build_status[i] == CL_BUILD_SUCCESS) built.push_back(outcome.devices[i]);
  }
  // A driver's program that was made anew has nothing of the old one's.
  const bool keeps = handle == program.handle && knows_all_devices(program, handle);
  for (const std::uint32_t number : program.built_for) {
    if (std::ranges::find(outcome.devices, number) != outcome.devices.end()) continue;
    if (keeps) {
      built.push_back(number);
      continue;
    }
    outcome.lose(number);
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

// No driver was asked: `why` is in the log.
// It failed for all of `devices`.
void fail(cl_int status, const std::vector<std::uint32_t>& devices, const std::string& why,
          Outcome& outcome) {
  outcome.status = status;
  outcome.devices = devices;
  outcome.build_status.assign(devices.size(), CL_BUILD_ERROR);
  outcome.binary_types.assign(devices.size(), CL_PROGRAM_BINARY_TYPE_NONE);
  outcome.global_sizes.assign(devices.size(), 0);
  outcome.logs.assign(devices.size(), why);
}

bool has_globals(const Outcome& outcome) {
  return std::ranges::any_of(outcome.global_sizes, [](std::uint64_t size) { return size != 0; });
}

bool is_source(const ProgramEntry& program) {
  return program.record.opcode() ==
         static_cast<std::uint16_t>(wire::Opcode::create_program_with_source);
}

std::string own_text(const ProgramEntry& program) {
  const std::span<const std::byte> bytes = program.record.bulk();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

cl_program make_program(const ProgramEntry& program, const std::string& text, cl_int* status) {
  const char* bytes = text.c_str();
  const std::size_t length = text.size();
  return clCreateProgramWithSource(program.context->handle, 1, &bytes, &length, status);
}

// Another program in the place of `handle`, where its text is not that of this build: it includes
// files, or does so no more. `number` is its place among the build's sources.
cl_int set_text(const ProgramEntry& program, bool with_files, const HeaderTexts& texts,
                std::size_t number, const std::string& folder, cl_program& handle) {
  if (!texts && !with_files) return CL_SUCCESS;
  cl_int status = CL_SUCCESS;
  const cl_program made =
      make_program(program, texts ? texts.source(number, folder) : own_text(program), &status);
  if (made != nullptr) handle = made;
  return status;
}

// A header program of a compilation. Another thread may build it meanwhile.
struct HeaderProgram {
  std::shared_ptr<ProgramEntry> program;
  Retained<cl_program> handle;
  bool with_files;

  explicit HeaderProgram(std::shared_ptr<ProgramEntry> entry)
      : program(std::move(entry)), handle(program->handle), with_files(program->with_files) {}

  cl_int set_text(const HeaderTexts& texts, std::size_t number, const std::string& folder) {
    cl_program own = handle.get();
    const cl_int status = worker::set_text(*program, with_files, texts, number, folder, own);
    if (own == handle.get()) return status;
    handle = Retained<cl_program>(own);
    clReleaseProgram(own);
    return status;
  }
};

cl_int may_have(const ProgramEntry& program, const HeaderTexts& texts) {
  if (texts && !is_source(program)) throw ProtocolError("a text for a program that has none");
  const bool replaced = texts || program.with_files;
  return replaced && program.has_kernels() ? CL_INVALID_OPERATION : CL_SUCCESS;
}

// Whether the text of the build, or a file that it includes, has variables that outlive a launch.
bool has_variables(const ProgramEntry& program, const HeaderTexts& texts,
                   const std::optional<std::string>& options) {
  if (!options || !is_source(program) || !options_allow_variables(*options)) return false;
  if (declares_variables(own_text(program))) return true;
  for (std::size_t i = 1; i <= texts.files(); ++i) {
    if (declares_variables(texts.file(i, {}))) return true;
  }
  return false;
}

void note_variables(ProgramEntry& program, bool has) {
  if (has) program.has_variables = true;
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

Build as_build(const Incoming& incoming, std::span<const HeaderProgram> headers = {}) {
  Build build;
  const Bulk& bulk = incoming.bulk;
  build.message = Record(incoming.opcode, incoming.fields, {bulk.data(), bulk.size()});
  for (const auto& each : headers) {
    const ProgramEntry& header = *each.program;
    build.headers.push_back({header.id, header.serial, header.record});
  }
  return build;
}

// Those of `all` that the numbers name, in the order of `all`.
std::vector<NumberedDevice> of(const std::vector<NumberedDevice>& all,
                               const std::vector<std::uint32_t>& numbers) {
  std::vector<NumberedDevice> chosen;
  std::ranges::copy_if(all, std::back_inserter(chosen), [&](const NumberedDevice& each) {
    return std::ranges::find(numbers, each.number) != numbers.end();
  });
  return chosen;
}

cl_uint count(const std::vector<cl_device_id>& devices) {
  return static_cast<cl_uint>(devices.size());
}

}  // namespace

void Session::build(const std::shared_ptr<ProgramEntry>& program, std::uint64_t ticket,
                    cl_int status, Build build, const HeaderTexts* texts,
                    std::vector<std::uint32_t> devices, const Translate& translate) {
  Outcome outcome;
  outcome.status = status;
  if (status == CL_SUCCESS && !may_block()) outcome.status = CL_OUT_OF_RESOURCES;
  if (outcome.status != CL_SUCCESS) return tell(answers_, ticket, *program, outcome);
  program->last_for = std::move(devices);
  program->building = true;
  build.serial = objects_.next_serial();
  build.constants = program->constants;
  program->facts = nullptr;
  cl_program handle = program->handle;
  const std::vector<NumberedDevice> all = numbered(program->devices);
  const std::vector<NumberedDevice> related = of(all, related_to(*program, program->last_for));
  blocking([&] {
    std::optional<HeaderFolder> folder;
    try {
      if (texts != nullptr && texts->files() != 0) folder.emplace(*texts);
    } catch (const std::system_error& error) {
      return fail(CL_BUILD_PROGRAM_FAILURE, program->last_for,
                  "the worker has no place for the included files: " + std::string(error.what()),
                  outcome);
    }
    const std::string path = folder ? folder->path() : std::string();
    const auto work = [&] {
      outcome.status = translate(handle, path);
      if (handle == nullptr) return;
      collect(*program, handle, of(all, program->last_for), false, outcome);
      collect(*program, handle, related, true, outcome);
      program->built_for = built_after(*program, handle, outcome);
      collect_facts(handle, of(all, program->built_for), outcome);
    };
    CompilerConfinement::of_process().run(work, path);
  });
  if (handle != program->handle) {
    if (program->handle != nullptr) clReleaseProgram(program->handle);
    program->handle = handle;
    program->with_files = texts != nullptr && *texts;
  }
  program->building = false;
  program->facts = outcome.facts;
  ++program->builds;
  program->launched = false;
  program->has_variables = has_globals(outcome);
  keep(*program, outcome.status == CL_SUCCESS, std::move(build));
  tell(answers_, ticket, *program, outcome);
}

std::vector<std::uint32_t> Session::related_to(const ProgramEntry& program,
                                               const std::vector<std::uint32_t>& built) const {
  std::set<std::uint32_t> gpus;
  for (const std::uint32_t number : built) gpus.insert(gpu_of(number));
  std::vector<std::uint32_t> related;
  for (const std::uint32_t number : program.devices) {
    const bool asked = std::ranges::find(built, number) != built.end();
    if (!asked && gpus.contains(gpu_of(number))) related.push_back(number);
  }
  return related;
}

// Past the limit the build counts all the same: only its record is missing.
void Session::keep(ProgramEntry& program, bool succeeded, Build build) {
  program.failed = {};
  (succeeded ? program.built : program.failed) = std::move(build);
  const auto bytes = [&] { return program.built.message.size() + program.failed.message.size(); };
  if (objects_.find_any(program.id).get() != &program) return;  // released meanwhile
  if (!objects_.recount(program.counted, bytes())) {
    Build& last = succeeded ? program.built : program.failed;
    last.message = Record();
    last.unrecorded = true;
    objects_.recount(program.counted, bytes());
  }
  program.counted = bytes();
}

cl_int Session::may_build(const ProgramEntry& program, std::span<const std::uint32_t> devices) {
  if (program.poison != CL_SUCCESS) return program.poison;
  if (program.building) return CL_INVALID_OPERATION;
  return has_all(program, devices) ? CL_SUCCESS : CL_INVALID_DEVICE;
}

void Session::handle(const wire::BuildProgram& m, Incoming& incoming) {
  const auto program = objects_.share<ProgramEntry>(m.program);
  cl_int status = may_build(*program, m.devices);
  const std::vector<std::uint32_t> numbers = in_order(*program, m.devices);
  const std::vector<cl_device_id> devices = devices_of(*program->context, numbers);
  const auto options = options_for_driver(m.options);
  if (status == CL_SUCCESS && !options) {
    Outcome outcome;
    fail(CL_INVALID_BUILD_OPTIONS, numbers, why_refused(m.options), outcome);
    return tell(answers_, m.ticket, *program, outcome);
  }
  Build build = as_build(incoming);
  incoming.bulk.reset();
  const HeaderTexts texts(build.message, 1, m.part_sizes, m.part_files, m.text_ends);
  if (status == CL_SUCCESS) status = may_have(*program, texts);
  const auto compile = [&](cl_program& handle, const std::string& folder) {
    const cl_int made = set_text(*program, program->with_files, texts, 0, folder, handle);
    if (made != CL_SUCCESS) return made;
    return clBuildProgram(handle, count(devices), devices.data(),
                          with_kernel_arg_info(*options).c_str(), nullptr, nullptr);
  };
  this->build(program, m.ticket, status, std::move(build), &texts, numbers, compile);
  note_variables(*program, has_variables(*program, texts, options));
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
    Outcome outcome;
    fail(CL_INVALID_COMPILER_OPTIONS, numbers, why_refused(m.options), outcome);
    return tell(answers_, m.ticket, *program, outcome);
  }
  std::vector<HeaderProgram> headers;
  const std::vector<std::string> texts_of_names(m.header_names.begin(), m.header_names.end());
  for (const Id id : m.headers) {
    const HeaderProgram& header = headers.emplace_back(objects_.share<ProgramEntry>(id));
    if (status == CL_SUCCESS) status = may_build(*header.program, {});
    if (status == CL_SUCCESS && header.program->context != program->context) {
      status = CL_INVALID_PROGRAM;
    }
  }
  Build build = as_build(incoming, headers);
  incoming.bulk.reset();
  const HeaderTexts texts(build.message, 1 + headers.size(), m.part_sizes, m.part_files,
                          m.text_ends);
  if (status == CL_SUCCESS) status = may_have(*program, texts);
  for (const HeaderProgram& header : headers) {
    if (status == CL_SUCCESS && texts && !is_source(*header.program)) {
      throw ProtocolError("a text for a header that has none");
    }
  }
  const auto compile = [&](cl_program& handle, const std::string& folder) {
    cl_int made = set_text(*program, program->with_files, texts, 0, folder, handle);
    std::vector<cl_program> handles;
    std::vector<const char*> names;
    for (std::size_t i = 0; i < headers.size(); ++i) {
      if (made == CL_SUCCESS) made = headers[i].set_text(texts, 1 + i, folder);
      handles.push_back(headers[i].handle.get());
      names.push_back(texts_of_names[i].c_str());
    }
    if (made != CL_SUCCESS) return made;
    return clCompileProgram(
        handle, count(devices), devices.data(), with_kernel_arg_info(*options).c_str(),
        static_cast<cl_uint>(handles.size()), handles.empty() ? nullptr : handles.data(),
        names.empty() ? nullptr : names.data(), nullptr, nullptr);
  };
  this->build(program, m.ticket, status, std::move(build), &texts, numbers, compile);
  note_variables(*program, has_variables(*program, texts, options));
}

void Session::handle(const wire::LinkProgram& m, Incoming& incoming) {
  const auto context = objects_.share<ContextEntry>(m.context);
  const auto options = options_for_driver(m.options);
  std::vector<std::shared_ptr<ProgramEntry>> held;
  std::vector<Retained<cl_program>> inputs;
  cl_int status = context->poison;
  if (status == CL_SUCCESS && !options) status = CL_INVALID_LINKER_OPTIONS;
  for (const Id id : m.inputs) {
    held.push_back(objects_.share<ProgramEntry>(id));
    inputs.emplace_back(held.back()->handle);
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
  build(program, ticket, status, {}, nullptr, program->devices,
        [&](cl_program& handle, const std::string&) {
          std::vector<cl_program> handles;
          for (const auto& input : inputs) handles.push_back(input.get());
          const auto link = [&](const std::string& words) {
            cl_int error = CL_SUCCESS;
            handle = clLinkProgram(context->handle, count(devices), devices.data(), words.c_str(),
                                   static_cast<cl_uint>(handles.size()), handles.data(), nullptr,
                                   nullptr, &error);
            return error;
          };
          // The option is the compiler's: some linkers keep what it tells only where they are asked
          // too, others refuse it.
          const cl_int error = link(with_kernel_arg_info(*options));
          if (error != CL_INVALID_LINKER_OPTIONS || handle != nullptr) return error;
          return link(*options);
        });
  note_variables(*program,
                 std::ranges::any_of(held, [](const auto& input) { return input->has_variables; }));
  if (program->handle == nullptr && program->poison == CL_SUCCESS) {
    program->poison = CL_INVALID_PROGRAM;
  }
}

}  // namespace tessera::worker
