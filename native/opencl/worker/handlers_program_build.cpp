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

constexpr std::size_t kMaxLog = 16 * 1024 * 1024;  // bytes of one device's log that are passed on

struct Outcome {
  cl_int status = CL_SUCCESS;
  std::vector<cl_int> build_status;
  std::vector<std::uint32_t> binary_types;
  std::vector<std::uint64_t> global_sizes;
  std::vector<std::string> logs;
  std::shared_ptr<const ProgramFacts> facts;
};

std::string log_of(cl_program program, cl_device_id device) {
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
  return log.substr(0, std::min(log.find('\0'), kMaxLog));
}

void collect(cl_program program, const std::vector<NumberedDevice>& devices, Outcome& outcome) {
  bool executable = false;
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
    outcome.build_status.push_back(build);
    outcome.binary_types.push_back(type);
    outcome.global_sizes.push_back(globals);
    outcome.logs.push_back(log_of(program, device.id));
    executable = executable || type == CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
  }
  if (!executable) return;
  std::vector<NumberedDevice> built;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (outcome.build_status[i] == CL_BUILD_SUCCESS) built.push_back(devices[i]);
  }
  cl_int error = CL_SUCCESS;
  auto facts = find_facts(program, built, &error);
  if (error == CL_SUCCESS) outcome.facts = std::move(facts);
}

void send_log(Answers& answers, Id program, std::uint32_t device, std::string_view log) {
  if (answers.muted()) return;
  while (!log.empty()) {
    const std::string_view piece = log.substr(0, kPiece);
    Bulk bulk = answers.channel().reserve(piece.size());
    std::memcpy(bulk.data(), piece.data(), piece.size());
    wire::BuildLog message;
    message.program = program;
    message.device = device;
    answers.send(message, std::move(bulk));
    log.remove_prefix(piece.size());
  }
}

void tell(Answers& answers, std::uint64_t ticket, const ProgramEntry& program,
          const Outcome& outcome) {
  for (std::size_t i = 0; i < outcome.logs.size(); ++i) {
    send_log(answers, program.id, program.devices[i], outcome.logs[i]);
  }
  if (outcome.facts != nullptr) send_facts(answers, program.id, *outcome.facts);
  // A binary is only made when somebody asks for it: with some drivers that is the larger part of
  // the compiler's work.
  const std::vector<std::uint64_t> unknown(outcome.build_status.size());
  wire::BuildDone done;
  done.ticket = ticket;
  done.program = program.id;
  done.status = outcome.status;
  if (!outcome.build_status.empty()) done.devices = program.devices;
  done.build_status = outcome.build_status;
  done.binary_types = outcome.binary_types;
  done.binary_sizes = unknown;
  done.global_variable_sizes = outcome.global_sizes;
  answers.build_done(done);
}

// No driver was asked: `why` is in the log.
void fail(const std::string& why, std::size_t devices, Outcome& outcome) {
  outcome.status = CL_BUILD_PROGRAM_FAILURE;
  outcome.build_status.assign(devices, CL_BUILD_ERROR);
  outcome.binary_types.assign(devices, CL_PROGRAM_BINARY_TYPE_NONE);
  outcome.global_sizes.assign(devices, 0);
  outcome.logs.assign(devices, why);
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

// Null for an empty list: then the driver takes all devices.
const cl_device_id* list(const std::vector<cl_device_id>& devices) {
  return devices.empty() ? nullptr : devices.data();
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

cl_uint count(const std::vector<cl_device_id>& devices) {
  return static_cast<cl_uint>(devices.size());
}

}  // namespace

void Session::build(const std::shared_ptr<ProgramEntry>& program, std::uint64_t ticket,
                    cl_int status, Build build, const HeaderTexts* texts,
                    const Translate& translate) {
  Outcome outcome;
  outcome.status = status;
  if (status == CL_SUCCESS && !may_block()) outcome.status = CL_OUT_OF_RESOURCES;
  if (outcome.status != CL_SUCCESS) return tell(answers_, ticket, *program, outcome);
  const std::vector<NumberedDevice> devices = numbered(program->devices);
  program->building = true;
  build.serial = objects_.next_serial();
  build.constants = program->constants;
  program->facts = nullptr;
  cl_program handle = program->handle;
  blocking([&] {
    std::optional<HeaderFolder> folder;
    try {
      if (texts != nullptr && texts->files() != 0) folder.emplace(*texts);
    } catch (const std::system_error& error) {
      return fail("the worker has no place for the included files: " + std::string(error.what()),
                  devices.size(), outcome);
    }
    const std::string path = folder ? folder->path() : std::string();
    const auto work = [&] {
      outcome.status = translate(handle, path);
      if (handle != nullptr) collect(handle, devices, outcome);
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
  const std::vector<cl_device_id> devices = devices_of(*program->context, m.devices);
  const auto options = options_for_driver(m.options);
  Build build = as_build(incoming);
  const HeaderTexts texts(build.message, 1, m.part_sizes, m.part_files, m.text_ends);
  cl_int status = may_build(*program, m.devices);
  if (status == CL_SUCCESS && !options) status = CL_INVALID_BUILD_OPTIONS;
  if (status == CL_SUCCESS) status = may_have(*program, texts);
  const auto compile = [&](cl_program& handle, const std::string& folder) {
    const cl_int made = set_text(*program, program->with_files, texts, 0, folder, handle);
    if (made != CL_SUCCESS) return made;
    return clBuildProgram(handle, count(devices), list(devices),
                          with_kernel_arg_info(*options).c_str(), nullptr, nullptr);
  };
  this->build(program, m.ticket, status, std::move(build), &texts, compile);
  note_variables(*program, has_variables(*program, texts, options));
}

void Session::handle(const wire::CompileProgram& m, Incoming& incoming) {
  const auto program = objects_.share<ProgramEntry>(m.program);
  const std::vector<cl_device_id> devices = devices_of(*program->context, m.devices);
  const auto options = options_for_driver(m.options);
  if (m.headers.size() != m.header_names.size()) {
    throw ProtocolError("headers without a name each");
  }
  cl_int status = may_build(*program, m.devices);
  if (status == CL_SUCCESS && !options) status = CL_INVALID_COMPILER_OPTIONS;
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
        handle, count(devices), list(devices), with_kernel_arg_info(*options).c_str(),
        static_cast<cl_uint>(handles.size()), handles.empty() ? nullptr : handles.data(),
        names.empty() ? nullptr : names.data(), nullptr, nullptr);
  };
  this->build(program, m.ticket, status, std::move(build), &texts, compile);
  note_variables(*program, has_variables(*program, texts, options));
}

void Session::handle(const wire::LinkProgram& m, Incoming& incoming) {
  const auto context = objects_.share<ContextEntry>(m.context);
  const std::vector<cl_device_id> devices = devices_of(*context, m.devices);
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
  if (program->poison != CL_SUCCESS) status = program->poison;
  output_.expect();
  const std::uint64_t ticket = m.ticket;
  for (const auto& each : held) program->link.inputs.push_back({each, each->builds});
  build(program, ticket, status, {}, nullptr, [&](cl_program& handle, const std::string&) {
    std::vector<cl_program> handles;
    for (const auto& input : inputs) handles.push_back(input.get());
    const auto link = [&](const std::string& words) {
      cl_int error = CL_SUCCESS;
      handle = clLinkProgram(context->handle, count(devices), list(devices), words.c_str(),
                             static_cast<cl_uint>(handles.size()), handles.data(), nullptr, nullptr,
                             &error);
      return error;
    };
    // The option is the compiler's: some linkers keep what it tells only where they are asked too,
    // others refuse it.
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
