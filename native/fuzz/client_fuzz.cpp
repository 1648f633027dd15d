// SPDX-License-Identifier: Apache-2.0
//
// A program that uses the driver in a fixed way, and a worker that answers whatever the fuzzer
// thinks of.
//
// The input is a list of messages to the client: u8 kind, u8 bulk (times 16 bytes), u16 size of the
// fields, the fields, the bulk. Kinds below kKinds are opcodes to the client. kHonest is the answer
// that an honest worker would give to the oldest message that waits for one, so that the fuzzer
// gets past the first blocking call; kNothing says that nothing has arrived yet. When the input
// ends the worker is gone. The first byte chooses whether the snapshot is honest too. The program
// ignores every error, which is what makes it a test: whatever came back, the next call must cope.
#include <CL/cl.h>
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

#include "generated/client_entries.h"
#include "generated/messages_buffer.h"
#include "generated/messages_image.h"
#include "generated/messages_svm.h"
#include "opencl/client/context.h"
#include "opencl/client/session.h"

namespace tessera {
namespace {

namespace api = client::entry;

constexpr std::size_t kBulkUnit = 16;  // bytes
constexpr std::uint8_t kKinds = 16;
constexpr std::uint8_t kHonest = 0xF0;
constexpr std::uint8_t kNothing = 0xF1;
constexpr std::size_t kMaxMessages = 400;
constexpr std::size_t kBytes = 256;  // of the program's buffer
constexpr std::size_t kSide = 4;     // pixels of its image

void free_bulk(void* memory, std::uint64_t) noexcept {
  ::free(memory);
}

Bulk new_bulk(std::size_t bytes) {
  void* memory = ::calloc(bytes, 1);
  if (memory == nullptr) ::abort();
  return Bulk(static_cast<std::byte*>(memory), bytes, free_bulk, memory, 0);
}

// A message that waits for its answer.
struct Question {
  std::uint64_t sequence;
  wire::Opcode opcode;
  std::uint64_t ticket;  // of a read or a build
  std::uint64_t id;      // of a build's program
  std::size_t bytes;     // of a read
};

// What is asked, if the message asks at all.
template <class Message>
bool decoded(std::span<const std::byte> fields, Message& message) {
  wire::Decoder in(fields);
  return decode(in, message);
}

class FuzzChannel final : public Channel {
 public:
  FuzzChannel(std::span<const std::uint8_t> input, bool honest_start)
      : input_(input), honest_left_(honest_start ? 2 : 0) {}

  TransportKind kind() const override { return TransportKind::shm; }
  std::size_t bulk_ahead() const override { return 8 * kPiece; }
  Bulk reserve(std::size_t bytes) override {
    if (bytes == 0 || bytes > kMaxBulk) ::abort();
    if (closed_.load()) throw ChannelClosed("closed");
    return new_bulk(bytes);
  }
  std::uint64_t send(std::uint16_t opcode, std::span<const std::byte> fields, Bulk) override {
    if (closed_.load()) throw ChannelClosed("closed");
    if (fields.size() > kMaxFields) ::abort();
    const std::lock_guard lock(mutex_);
    note(++sent_, static_cast<wire::Opcode>(opcode), fields);
    return sent_;
  }
  void flush() override {}
  Received receive(Incoming& into, Wait) override {
    into.bulk.reset();
    if (closed_.load()) throw ChannelClosed("closed");
    const std::lock_guard lock(mutex_);
    if (++received_ > kMaxMessages) throw ChannelClosed("too many messages");
    into.sequence = received_;
    if (honest_left_ != 0) {
      --honest_left_;
      return honest_left_ == 1 ? snapshot(into) : honest(into);
    }
    return next(into);
  }
  void interrupt() override {}
  void on_stall(std::function<void()>) override {}
  int liveness_fd() const override { return -1; }
  void close() noexcept override { closed_.store(true); }
  void abandon_after_fork() noexcept override {}
  ChannelCounters counters() const override { return {}; }

 private:
  Received next(Incoming& into) {
    if (at_ + 4 > input_.size()) throw ChannelClosed("end of input");
    const std::uint8_t* head = input_.data() + at_;
    at_ += 4;
    if (head[0] == kHonest) return honest(into);
    if (head[0] == kNothing) return Received::timeout;
    const std::size_t size = std::min<std::size_t>(head[2] | head[3] << 8, input_.size() - at_);
    fields_.assign((size + 7) / 8, 0);
    if (size != 0) std::memcpy(fields_.data(), input_.data() + at_, size);
    at_ += size;
    into.opcode = static_cast<std::uint16_t>(wire::kFirstToClient + head[0] % kKinds);
    into.fields = std::as_bytes(std::span(fields_)).first(size);
    if (const std::size_t bytes = head[1] * kBulkUnit; bytes != 0) {
      into.bulk = new_bulk(bytes);
      const std::size_t given = std::min(bytes, input_.size() - at_);
      if (given != 0) std::memcpy(into.bulk.data(), input_.data() + at_, given);
      at_ += given;
    }
    return Received::message;
  }

  void note(std::uint64_t sequence, wire::Opcode opcode, std::span<const std::byte> fields) {
    Question question{sequence, opcode, 0, 0, 0};
    const auto read = [&]<class Message>(Message message, auto bytes_of) {
      if (!decoded(fields, message)) ::abort();
      question.ticket = message.ticket;
      question.bytes = bytes_of(message);
      questions_.push_back(question);
    };
    const auto size = [](const auto& message) { return message.size; };
    const auto box = [](const auto& message) {
      return message.region[0] * message.region[1] * message.region[2];
    };
    const auto pixels = [&](const auto& message) { return box(message) * 4; };
    switch (opcode) {
      case wire::Opcode::read_buffer:
        return read(wire::ReadBuffer(), size);
      case wire::Opcode::read_buffer_rect:
        return read(wire::ReadBufferRect(), box);
      case wire::Opcode::read_image:
        return read(wire::ReadImage(), pixels);
      case wire::Opcode::svm_read:
        return read(wire::SvmRead(), size);
      case wire::Opcode::build_program: {
        wire::BuildProgram message;
        if (!decoded(fields, message)) ::abort();
        question.ticket = message.ticket;
        question.id = message.program;
        return questions_.push_back(question);
      }
      case wire::Opcode::open_session:
      case wire::Opcode::finish_queue:
      case wire::Opcode::wait_for_events:
      case wire::Opcode::svm_alloc:
      case wire::Opcode::get_program_binary:
      case wire::Opcode::set_kernel_arg_value:
      case wire::Opcode::get_device_and_host_timer:
      case wire::Opcode::get_kernel_sub_group_info:
        return questions_.push_back(question);
      default:
        return;
    }
  }

  template <class Message>
  Received give(Incoming& into, const Message& message) {
    wire::Encoder out;
    encode(out, message);
    fields_.assign((out.bytes().size() + 7) / 8, 0);
    if (!out.bytes().empty()) {
      std::memcpy(fields_.data(), out.bytes().data(), out.bytes().size());
    }
    into.fields = std::as_bytes(std::span(fields_)).first(out.bytes().size());
    into.opcode = static_cast<std::uint16_t>(Message::kOpcode);
    return Received::message;
  }

  Received snapshot(Incoming& into) {
    const auto bytes = [](const auto& value) {
      return wire::Blob(reinterpret_cast<const std::byte*>(&value), sizeof value);
    };
    static const cl_device_type kType = CL_DEVICE_TYPE_GPU;
    static const cl_bool kYes = CL_TRUE;
    static const std::size_t kLargest = 4096;
    static const cl_ulong kSvm = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
    static const std::uint32_t kParams[] = {CL_DEVICE_TYPE,
                                            CL_DEVICE_IMAGE_SUPPORT,
                                            CL_DEVICE_IMAGE2D_MAX_WIDTH,
                                            CL_DEVICE_IMAGE2D_MAX_HEIGHT,
                                            CL_DEVICE_MAX_PARAMETER_SIZE,
                                            CL_DEVICE_SVM_CAPABILITIES};
    wire::DeviceSnapshot message;
    message.memory = 1 << 20;
    message.params = kParams;
    message.values = {bytes(kType),    bytes(kYes),     bytes(kLargest),
                      bytes(kLargest), bytes(kLargest), bytes(kSvm)};
    return give(into, message);
  }

  Received honest(Incoming& into) {
    if (questions_.empty()) return Received::timeout;
    const Question question = questions_.front();
    questions_.pop_front();
    if (question.bytes != 0) {
      wire::ReadDone message;
      message.ticket = question.ticket;
      into.bulk = new_bulk(question.bytes);
      return give(into, message);
    }
    if (question.opcode == wire::Opcode::build_program) {
      static const std::uint32_t kDevice = 0;
      static const std::int32_t kGood = CL_BUILD_SUCCESS;
      static const std::uint32_t kType = CL_PROGRAM_BINARY_TYPE_EXECUTABLE;
      static const std::uint64_t kSize = 16;
      wire::BuildDone message;
      message.ticket = question.ticket;
      message.program = question.id;
      message.devices = {&kDevice, 1};
      message.build_status = {&kGood, 1};
      message.binary_types = {&kType, 1};
      message.binary_sizes = {&kSize, 1};
      message.global_variable_sizes = {&kSize, 1};
      return give(into, message);
    }
    wire::Reply message;
    message.of = question.sequence;
    return give(into, message);
  }

  std::mutex mutex_;
  std::span<const std::uint8_t> input_;
  std::size_t at_ = 0;
  int honest_left_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  std::vector<std::uint64_t> fields_;
  std::deque<Question> questions_;
  std::atomic<bool> closed_{false};
};

void CL_CALLBACK on_event(cl_event, cl_int, void*) {}
void CL_CALLBACK on_program(cl_program, void*) {}
void CL_CALLBACK on_notice(const char* notice, const void*, size_t, void*) {
  if (std::strlen(notice) > kMaxFields) ::abort();
}

cl_context make_context(client::Session& session, const client::Platform& platform) {
  auto context = client::make<client::Context>(session, platform.devices(),
                                               std::vector<cl_context_properties>(),
                                               client::Context::Notify{&on_notice, nullptr});
  wire::CreateContext message;
  message.context = context->id();
  session.create(*context, message);
  return client::give_handle(std::move(context));
}

void query(const client::Platform& platform) {
  std::vector<char> room(1 << 16);
  for (client::Device* device : platform.devices()) {
    for (cl_device_info param = 0x1000; param < 0x1080; ++param) {
      std::size_t size = 0;
      api::clGetDeviceInfo(device->handle(), param, room.size(), room.data(), &size);
    }
  }
  platform.extensions();
  platform.host_timer_resolution();
}

void use_buffers(cl_context context, cl_command_queue queue, cl_event* events) {
  std::vector<unsigned char> bytes(kBytes);
  const cl_mem buffer =
      api::clCreateBuffer(context, CL_MEM_COPY_HOST_PTR, kBytes, bytes.data(), nullptr);
  api::clEnqueueWriteBuffer(queue, buffer, CL_FALSE, 0, kBytes, bytes.data(), 0, nullptr,
                            &events[0]);
  // Read into memory of its own, because the answer may come as late as the program's end.
  static unsigned char late[kBytes];
  api::clEnqueueReadBuffer(queue, buffer, CL_FALSE, 0, kBytes, late, 0, nullptr, &events[1]);
  const std::size_t origin[3] = {0, 0, 0};
  const std::size_t region[3] = {4, 3, 2};
  static unsigned char rect[kBytes];
  api::clEnqueueReadBufferRect(queue, buffer, CL_TRUE, origin, origin, region, 8, 32, 16, 64, rect,
                               0, nullptr, nullptr);
  void* mapped = api::clEnqueueMapBuffer(queue, buffer, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 16, 64,
                                         0, nullptr, nullptr, nullptr);
  api::clEnqueueUnmapMemObject(queue, buffer, mapped, 0, nullptr, nullptr);
  api::clReleaseMemObject(buffer);
}

void use_images(cl_context context, cl_command_queue queue) {
  cl_uint count = 0;
  cl_image_format formats[8];
  api::clGetSupportedImageFormats(context, CL_MEM_READ_WRITE, CL_MEM_OBJECT_IMAGE2D, 8, formats,
                                  &count);
  const cl_image_format format{CL_RGBA, CL_UNORM_INT8};
  cl_image_desc desc{};
  desc.image_type = CL_MEM_OBJECT_IMAGE2D;
  desc.image_width = kSide;
  desc.image_height = kSide;
  const cl_mem image =
      api::clCreateImage(context, CL_MEM_READ_WRITE, &format, &desc, nullptr, nullptr);
  static unsigned char pixels[kSide * kSide * 4];
  const std::size_t origin[3] = {0, 0, 0};
  const std::size_t region[3] = {kSide, kSide, 1};
  api::clEnqueueReadImage(queue, image, CL_TRUE, origin, region, 0, 0, pixels, 0, nullptr, nullptr);
  if (image != nullptr) api::clReleaseMemObject(image);
}

void use_programs(cl_context context, cl_command_queue queue, cl_device_id device) {
  const char* source = "kernel void k(global int* a, int b) { a[0] = b; }";
  const cl_program program = api::clCreateProgramWithSource(context, 1, &source, nullptr, nullptr);
  api::clBuildProgram(program, 0, nullptr, "", nullptr, nullptr);
  std::vector<char> room(1 << 16);
  std::size_t size = 0;
  for (cl_program_info param = CL_PROGRAM_REFERENCE_COUNT; param <= CL_PROGRAM_KERNEL_NAMES;
       ++param) {
    if (param == CL_PROGRAM_BINARIES) continue;
    api::clGetProgramInfo(program, param, room.size(), room.data(), &size);
  }
  api::clGetProgramBuildInfo(program, device, CL_PROGRAM_BUILD_LOG, room.size(), room.data(),
                             &size);
  cl_kernel kernels[4] = {};
  cl_uint count = 0;
  api::clCreateKernelsInProgram(program, 4, kernels, &count);
  for (const cl_kernel kernel : kernels) {
    if (kernel == nullptr) continue;
    const cl_int value = 7;
    for (cl_uint i = 0; i < 4; ++i) {
      api::clSetKernelArg(kernel, i, sizeof value, &value);
      for (cl_kernel_arg_info what = CL_KERNEL_ARG_ADDRESS_QUALIFIER; what <= CL_KERNEL_ARG_NAME;
           ++what) {
        api::clGetKernelArgInfo(kernel, i, what, room.size(), room.data(), &size);
      }
    }
    for (cl_kernel_info what = CL_KERNEL_FUNCTION_NAME; what <= CL_KERNEL_ATTRIBUTES; ++what) {
      api::clGetKernelInfo(kernel, what, room.size(), room.data(), &size);
    }
    for (cl_kernel_work_group_info what = CL_KERNEL_WORK_GROUP_SIZE;
         what <= CL_KERNEL_GLOBAL_WORK_SIZE; ++what) {
      api::clGetKernelWorkGroupInfo(kernel, device, what, room.size(), room.data(), &size);
    }
    const std::size_t global = 4;
    api::clEnqueueNDRangeKernel(queue, kernel, 1, nullptr, &global, nullptr, 0, nullptr, nullptr);
    api::clReleaseKernel(kernel);
  }
  // Its end is told while other calls wait, or never.
  const cl_program second = api::clCreateProgramWithSource(context, 1, &source, nullptr, nullptr);
  api::clBuildProgram(second, 0, nullptr, "-DX", &on_program, nullptr);
  for (const cl_program each : {program, second}) {
    if (each != nullptr) api::clReleaseProgram(each);
  }
}

void use_events(cl_context context, cl_command_queue queue, cl_event* events) {
  events[2] = api::clCreateUserEvent(context, nullptr);
  api::clEnqueueMarkerWithWaitList(queue, 1, &events[2], &events[3]);
  for (int i = 0; i < 4; ++i) {
    api::clSetEventCallback(events[i], CL_COMPLETE, &on_event, nullptr);
    api::clSetEventCallback(events[i], CL_RUNNING, &on_event, nullptr);
    cl_int status = 0;
    api::clGetEventInfo(events[i], CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status,
                        nullptr);
  }
  api::clSetUserEventStatus(events[2], CL_COMPLETE);
  api::clFinish(queue);
  for (int i = 0; i < 4; ++i) {
    cl_ulong time = 0;
    api::clGetEventProfilingInfo(events[i], CL_PROFILING_COMMAND_END, sizeof time, &time, nullptr);
    api::clWaitForEvents(1, &events[i]);
    if (events[i] != nullptr) api::clReleaseEvent(events[i]);
  }
}

void run_program(client::Session& session, const client::Platform& platform) {
  const cl_device_id device = platform.devices().front()->handle();
  cl_context context = nullptr;
  try {
    context = make_context(session, platform);
  } catch (const client::ApiError&) {
    return;
  }
  const cl_queue_properties list[] = {CL_QUEUE_PROPERTIES, CL_QUEUE_PROFILING_ENABLE, 0};
  const cl_command_queue queue =
      api::clCreateCommandQueueWithProperties(context, device, list, nullptr);
  cl_event events[4] = {};
  use_buffers(context, queue, events);
  use_images(context, queue);
  use_programs(context, queue, device);
  if (void* svm = api::clSVMAlloc(context, CL_MEM_READ_WRITE, 4096, 0)) {
    api::clEnqueueSVMMap(queue, CL_TRUE, CL_MAP_READ, svm, 4096, 0, nullptr, nullptr);
    api::clEnqueueSVMUnmap(queue, svm, 0, nullptr, nullptr);
    api::clSVMFree(context, svm);
  }
  use_events(context, queue, events);
  if (queue != nullptr) api::clReleaseCommandQueue(queue);
  api::clReleaseContext(context);
}

}  // namespace
}  // namespace tessera

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // What hostile output prints is not for the fuzzer's screen, and neither is the end of each
  // session.
  ::setenv("TESSERA_LOG", "none", 1);
  // What the worker says of its platform is looked at, too.
  ::setenv("TESSERA_IDENTITY", "device", 1);
  if (::freopen("/dev/null", "w", stdout) == nullptr) ::abort();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  if (size == 0) return 0;
  client::Session session(
      std::make_unique<FuzzChannel>(std::span(data + 1, size - 1), (data[0] & 1) != 0));
  try {
    const client::Platform platform(session.open());
    query(platform);
    run_program(session, platform);
    session.close();
  } catch (const ConnectError&) {  // a snapshot that is none
  }
  return 0;
}
