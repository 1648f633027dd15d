// SPDX-License-Identifier: Apache-2.0
//
// Programs, as long as nothing is built. Sources and binaries are copied out of the message before
// anything looks at them: the client can change shared memory at any time. The copy is the object's
// record as well.
#include <algorithm>
#include <string>

#include "opencl/may_print.h"
#include "opencl/worker/kernel_facts.h"
#include "opencl/worker/session.h"

namespace tessera::worker {
namespace {

// More than any program has; past it a client only fills this process's memory.
constexpr std::size_t kMaxConstants = 65536;
constexpr std::size_t kMaxConstantBytes = 8;  // of a number, the only kind that there is

std::span<const std::byte> bytes_of(const Bulk& bulk) {
  return {bulk.data(), bulk.size()};
}

cl_int why_not(const ProgramEntry& entry) {
  return entry.poison != CL_SUCCESS ? entry.poison : entry.context->poison;
}

bool takes_il(cl_device_id device) {
  std::size_t size = 0;
  return clGetDeviceInfo(device, CL_DEVICE_IL_VERSION, 0, nullptr, &size) == CL_SUCCESS && size > 1;
}

// The devices that the driver's lists of binaries are of, in its order: those of the program, but
// some drivers keep only what the last build was for.
std::vector<cl_device_id> listed_devices(cl_program program,
                                         const std::vector<cl_device_id>& last_built) {
  std::size_t size = 0;
  clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, 0, nullptr, &size);
  const std::size_t count = size / sizeof(std::size_t);
  clGetProgramInfo(program, CL_PROGRAM_DEVICES, 0, nullptr, &size);
  std::vector<cl_device_id> devices(size / sizeof(cl_device_id));
  clGetProgramInfo(program, CL_PROGRAM_DEVICES, size, devices.data(), nullptr);
  if (count == devices.size()) return devices;
  return count == last_built.size() ? last_built : std::vector<cl_device_id>();
}

struct Binary {
  cl_int status = CL_SUCCESS;
  std::vector<unsigned char> bytes;
};

// Some drivers list the lease's device, `gpu`, in the place of its parts.
Binary binary_for(cl_program program, const std::vector<cl_device_id>& last_built,
                  cl_device_id device, cl_device_id gpu) {
  const std::vector<cl_device_id> devices = listed_devices(program, last_built);
  const std::size_t count = devices.size();
  auto at = std::ranges::find(devices, device);
  if (at == devices.end()) at = std::ranges::find(devices, gpu);
  const auto place = static_cast<std::size_t>(at - devices.begin());
  if (place == count) return {CL_INVALID_DEVICE, {}};
  std::vector<std::size_t> sizes(count);
  cl_int status = clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, count * sizeof(std::size_t),
                                   sizes.data(), nullptr);
  if (status != CL_SUCCESS) return {status, {}};
  // All of them: not every driver takes NULL for those that are not wanted.
  std::vector<std::vector<unsigned char>> binaries(count);
  std::vector<unsigned char*> places(count);
  for (std::size_t i = 0; i < count; ++i) {
    binaries[i].resize(sizes[i]);
    places[i] = sizes[i] == 0 ? nullptr : binaries[i].data();
  }
  status = clGetProgramInfo(program, CL_PROGRAM_BINARIES, count * sizeof(unsigned char*),
                            places.data(), nullptr);
  return {status, std::move(binaries[place])};
}

}  // namespace

void Session::handle(const wire::CreateProgramWithSource& m, Incoming& incoming) {
  const auto context = objects_.share<ContextEntry>(m.context);
  const auto entry = objects_.add<ProgramEntry>(
      m.program, Record(incoming.opcode, incoming.fields, bytes_of(incoming.bulk)));
  incoming.bulk.reset();
  entry->context = context;
  entry->devices = context->devices;
  cl_int status = why_not(*entry);
  if (status != CL_SUCCESS) return poison(*entry, status, m.kOpcode);
  const std::span<const std::byte> kept = entry->record.bulk();
  // Its own copy once more, because a driver may want the NUL that ends it.
  const std::string source(reinterpret_cast<const char*>(kept.data()), kept.size());
  if (may_print(source)) output_.expect();
  const char* text = source.c_str();
  const std::size_t length = source.size();
  entry->handle = clCreateProgramWithSource(context->handle, 1, &text, &length, &status);
  if (entry->handle == nullptr) poison(*entry, status, m.kOpcode);
}

void Session::handle(const wire::CreateProgramWithBinary& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const auto context = objects_.share<ContextEntry>(m.context);
  const std::vector<cl_device_id> devices = devices_of(*context, m.devices);
  std::uint64_t rest = incoming.bulk.size();
  for (const std::uint64_t size : m.sizes) {
    if (size > rest) throw ProtocolError("binaries of more bytes than the message has");
    rest -= size;
  }
  if (rest != 0 || devices.empty() || m.sizes.size() != devices.size()) {
    throw ProtocolError("the binaries do not fit their devices");
  }
  const auto entry = objects_.add<ProgramEntry>(
      m.program, Record(incoming.opcode, incoming.fields, bytes_of(incoming.bulk)));
  incoming.bulk.reset();
  entry->context = context;
  entry->devices.assign(m.devices.begin(), m.devices.end());
  cl_int status = why_not(*entry);
  std::vector<cl_int> each(devices.size(), status);
  if (status == CL_SUCCESS) {
    output_.expect();
    const auto* at = reinterpret_cast<const unsigned char*>(entry->record.bulk().data());
    std::vector<const unsigned char*> places;
    for (const std::uint64_t size : m.sizes) {
      places.push_back(at);
      at += size;
    }
    entry->handle = clCreateProgramWithBinary(context->handle, static_cast<cl_uint>(devices.size()),
                                              devices.data(), m.sizes.data(), places.data(),
                                              each.data(), &status);
  }
  if (entry->handle == nullptr) entry->poison = status;
  std::vector<std::uint64_t> values(each.begin(), each.end());
  for (const cl_device_id device : devices) {
    // What it is decides what may be done with it, before it is built.
    cl_program_binary_type type = CL_PROGRAM_BINARY_TYPE_NONE;
    if (entry->handle != nullptr) {
      clGetProgramBuildInfo(entry->handle, device, CL_PROGRAM_BINARY_TYPE, sizeof type, &type,
                            nullptr);
    }
    values.push_back(type);
  }
  answers_.reply(sequence, status, values);
}

void Session::handle(const wire::CreateProgramWithIl& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const auto context = objects_.share<ContextEntry>(m.context);
  const auto entry = objects_.add<ProgramEntry>(
      m.program, Record(incoming.opcode, incoming.fields, bytes_of(incoming.bulk)));
  incoming.bulk.reset();
  entry->context = context;
  entry->devices = context->devices;
  cl_int status = why_not(*entry);
  const bool taken = std::ranges::any_of(
      entry->devices, [&](std::uint32_t number) { return takes_il(device(number).id); });
  if (status == CL_SUCCESS && !taken) status = CL_INVALID_OPERATION;
  if (status == CL_SUCCESS && entry->record.bulk().empty()) status = CL_INVALID_VALUE;
  if (status == CL_SUCCESS) {
    output_.expect();
    entry->handle = clCreateProgramWithIL(context->handle, entry->record.bulk().data(),
                                          entry->record.bulk().size(), &status);
  }
  if (entry->handle == nullptr) entry->poison = status;
  answers_.reply(sequence, status);
}

void Session::handle(const wire::CreateProgramWithBuiltinKernels& m, Incoming& incoming) {
  const std::uint64_t sequence = incoming.sequence;
  const auto context = objects_.share<ContextEntry>(m.context);
  const std::vector<cl_device_id> devices = devices_of(*context, m.devices);
  const auto entry =
      objects_.add<ProgramEntry>(m.program, Record(incoming.opcode, incoming.fields));
  entry->context = context;
  entry->devices.assign(m.devices.begin(), m.devices.end());
  cl_int status = why_not(*entry);
  if (status == CL_SUCCESS && devices.empty()) status = CL_INVALID_VALUE;
  if (status == CL_SUCCESS) {
    const std::string names(m.kernel_names);
    entry->handle =
        clCreateProgramWithBuiltInKernels(context->handle, static_cast<cl_uint>(devices.size()),
                                          devices.data(), names.c_str(), &status);
  }
  if (entry->handle == nullptr) {
    entry->poison = status;
  } else {
    cl_int facts_status = CL_SUCCESS;
    entry->facts = find_facts(entry->handle, numbered(entry->devices), &facts_status);
    send_facts(answers_, entry->id, *entry->facts);
  }
  answers_.reply(sequence, status);
}

std::vector<NumberedDevice> Session::numbered(std::span<const std::uint32_t> devices) const {
  std::vector<NumberedDevice> result;
  for (const std::uint32_t number : devices) result.push_back({number, device(number).id});
  return result;
}

void Session::handle(const wire::SetSpecializationConstant& m, Incoming& incoming) {
  ProgramEntry& program = objects_.get<ProgramEntry>(m.program);
  cl_int status = program.poison;
  // Only programs from an intermediate language have such constants, and only drivers that take one
  // have the call.
  const bool taken = std::ranges::any_of(
      program.devices, [&](std::uint32_t number) { return takes_il(device(number).id); });
  if (status == CL_SUCCESS && !taken) status = CL_INVALID_OPERATION;
  if (status == CL_SUCCESS &&
      program.record.opcode() != static_cast<std::uint16_t>(wire::Opcode::create_program_with_il)) {
    status = CL_INVALID_PROGRAM;
  }
  if (status == CL_SUCCESS && program.building) status = CL_INVALID_OPERATION;
  if (status == CL_SUCCESS && (m.value.empty() || m.value.size() > kMaxConstantBytes)) {
    status = CL_INVALID_VALUE;
  }
  if (status == CL_SUCCESS) {
    status = clSetProgramSpecializationConstant(program.handle, m.spec_id, m.value.size(),
                                                m.value.data());
  }
  if (status == CL_SUCCESS && program.constants.size() < kMaxConstants) {
    program.constants.insert_or_assign(m.spec_id, Record(incoming.opcode, incoming.fields));
  }
  answers_.reply(incoming.sequence, status);
}

void Session::handle(const wire::GetProgramBinary& m, Incoming& incoming) {
  const auto program = objects_.share<ProgramEntry>(m.program);
  const std::uint64_t sequence = incoming.sequence;
  const cl_device_id id = device(m.device).id;
  const cl_device_id gpu = devices_[gpu_of(m.device)].id;
  cl_int status = program->poison;
  if (status == CL_SUCCESS && program->building) status = CL_INVALID_OPERATION;
  if (status == CL_SUCCESS && !may_block()) status = CL_OUT_OF_RESOURCES;
  if (status != CL_SUCCESS) return answers_.reply(sequence, status);
  // Some drivers compile their kernels only now.
  std::vector<cl_device_id> last_built;
  for (const NumberedDevice& each : numbered(program->last_for)) last_built.push_back(each.id);
  const Retained<cl_program> asked(program->handle);
  const Binary binary = blocking([&] { return binary_for(asked.get(), last_built, id, gpu); });
  if (binary.status != CL_SUCCESS) return answers_.reply(sequence, binary.status);
  if (binary.bytes.size() > wire::kMaxMessageBulk) {
    return answers_.reply(sequence, CL_OUT_OF_RESOURCES);
  }
  answers_.reply(sequence, CL_SUCCESS, {}, {},
                 answers_.bulk_of(std::as_bytes(std::span(binary.bytes))));
}

void Session::handle(const wire::UnloadCompiler&, Incoming&) {
  std::vector<cl_platform_id> done;
  for (const Device& each : devices_) {
    if (std::ranges::find(done, each.platform) != done.end()) continue;
    clUnloadPlatformCompiler(each.platform);
    done.push_back(each.platform);
  }
}

}  // namespace tessera::worker
