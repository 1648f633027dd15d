// SPDX-License-Identifier: Apache-2.0
//
// Messages that no frame can carry, from both sides: they arrive whole and in order, whatever other
// threads send meanwhile, and what a receiver holds for a hostile sender has a bound.
#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "client/client_pair.h"

namespace tessera::test {
namespace {

namespace api = client::entry;

constexpr std::size_t kSourceBytes = 17 << 20;
constexpr std::size_t kObjects = 9000;  // their ids alone are more than a frame's fields

std::string large_source() {
  std::string source = "kernel void k(global int* a) { a[0] = 1; }\n//";
  for (unsigned i = 0; source.size() < kSourceBytes; ++i) source += std::to_string(i) + ' ';
  return source + '\n';
}

cl_program program_of(cl_context context, const std::string& source) {
  const char* text = source.c_str();
  cl_int code = 1;
  const cl_program program = api::clCreateProgramWithSource(context, 1, &text, nullptr, &code);
  CHECK(code == CL_SUCCESS);
  return program;
}

std::vector<unsigned char> binary_of(cl_program program) {
  std::size_t size = 0;
  CHECK(api::clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, nullptr) ==
        CL_SUCCESS);
  std::vector<unsigned char> bytes(size);
  unsigned char* place = bytes.data();
  CHECK(api::clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof place, &place, nullptr) ==
        CL_SUCCESS);
  return bytes;
}

// There and back: the null driver's binary is its magic and the source.
void sources_and_binaries(ClientPair& pair, cl_context context) {
  const cl_device_id device = pair.device();
  const std::string source = large_source();
  const cl_program program = program_of(context, source);
  CHECK(api::clBuildProgram(program, 1, &device, "", nullptr, nullptr) == CL_SUCCESS);
  const std::vector<unsigned char> binary = binary_of(program);
  CHECK(binary.size() > kMaxBulk);
  CHECK(std::equal(source.begin(), source.end(),
                   binary.end() - static_cast<std::ptrdiff_t>(source.size())));
  const std::size_t size = binary.size();
  const unsigned char* at = binary.data();
  cl_int status = 1;
  cl_int code = 1;
  const cl_program again =
      api::clCreateProgramWithBinary(context, 1, &device, &size, &at, &status, &code);
  CHECK(code == CL_SUCCESS && status == CL_SUCCESS);
  CHECK(api::clBuildProgram(again, 1, &device, "", nullptr, nullptr) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(again) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(program) == CL_SUCCESS);
}

void options(ClientPair& pair, cl_context context) {
  std::string options;
  while (options.size() <= kMaxFields) options += "-DNAME_" + std::to_string(options.size()) + " ";
  const cl_device_id device = pair.device();
  const cl_program program = program_of(context, "kernel void k(global int* a) { a[0] = 1; }");
  CHECK(api::clBuildProgram(program, 1, &device, options.c_str(), nullptr, nullptr) == CL_SUCCESS);
  CHECK(api::clReleaseProgram(program) == CL_SUCCESS);
}

void lists(cl_command_queue queue, cl_context context) {
  std::vector<cl_mem> buffers;
  cl_int code = 1;
  for (std::size_t i = 0; i < kObjects; ++i) {
    buffers.push_back(api::clCreateBuffer(context, 0, 4, nullptr, &code));
    CHECK(code == CL_SUCCESS);
  }
  CHECK(api::clEnqueueMigrateMemObjects(queue, kObjects, buffers.data(), 0, 0, nullptr, nullptr) ==
        CL_SUCCESS);
  std::vector<cl_event> events(kObjects);
  for (cl_event& event : events) {
    CHECK(api::clEnqueueMarkerWithWaitList(queue, 0, nullptr, &event) == CL_SUCCESS);
  }
  CHECK(api::clWaitForEvents(kObjects, events.data()) == CL_SUCCESS);
  for (const cl_event event : events) CHECK(api::clReleaseEvent(event) == CL_SUCCESS);
  for (const cl_mem buffer : buffers) CHECK(api::clReleaseMemObject(buffer) == CL_SUCCESS);
  CHECK(api::clFinish(queue) == CL_SUCCESS);
}

void arrive_whole_from_several_threads(TransportKind kind) {
  ClientPair pair(kind);
  const cl_context context = pair.make_context();
  cl_int code = 1;
  const cl_command_queue queue =
      api::clCreateCommandQueueWithProperties(context, pair.device(), nullptr, &code);
  CHECK(code == CL_SUCCESS);
  std::vector<std::thread> threads;
  threads.emplace_back([&] { sources_and_binaries(pair, context); });
  threads.emplace_back([&] { options(pair, context); });
  threads.emplace_back([&] { lists(queue, context); });
  for (std::thread& thread : threads) thread.join();
  CHECK(api::clReleaseCommandQueue(queue) == CL_SUCCESS);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

void what_no_message_may_have_is_the_callers_error() {
  ClientPair pair(TransportKind::shm);
  const cl_context context = pair.make_context();
  const std::string source(wire::kMaxMessage + 1, ' ');
  const char* text = source.c_str();
  cl_int code = 1;
  CHECK(api::clCreateProgramWithSource(context, 1, &text, nullptr, &code) == nullptr);
  CHECK(code == CL_OUT_OF_HOST_MEMORY);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

// ---- the receiver alone

constexpr auto kYes = LongReceiver::Taken::yes;
constexpr auto kRefused = LongReceiver::Taken::refused;

void pieces_make_fields_and_bulk() {
  LongReceiver receiver;
  const std::array<std::byte, 8> first{std::byte{1}};
  const std::array<std::byte, 5> second{std::byte{2}};
  CHECK(receiver.add(1, 13, first) == kYes);
  Incoming whole;
  CHECK(receiver.take(1, 7, 8, 3, whole) == kRefused);  // a piece is missing
  CHECK(receiver.add(1, 13, second) == kYes);
  CHECK(receiver.take(2, 7, 8, 3, whole) == kRefused);        // of another message
  CHECK(receiver.take(1, 7, 14, 3, whole) == kRefused);       // more fields than bytes
  CHECK(receiver.take(1, 0x10000, 8, 3, whole) == kRefused);  // no opcode
  CHECK(receiver.take(1, 7, 8, 3, whole) == kYes);
  CHECK(whole.opcode == 7 && whole.sequence == 3);
  CHECK(std::ranges::equal(whole.fields, first));
  CHECK(std::ranges::equal(std::span(whole.bulk.data(), whole.bulk.size()), second));
  CHECK(receiver.take(1, 7, 8, 3, whole) == kRefused);  // once only
  receiver.drop_fields();
  CHECK(receiver.held() == 13);
  whole.bulk.reset();
  CHECK(receiver.held() == 0);
}

void pieces_have_to_fit_each_other() {
  const std::array<std::byte, 8> eight{};
  LongReceiver receiver;
  CHECK(receiver.add(1, 7, eight) == kRefused);  // more than the whole
  CHECK(receiver.add(2, 16, eight) == kYes);
  CHECK(receiver.add(2, 17, eight) == kRefused);  // of another size
  CHECK(receiver.add(2, 16, {}) == kRefused);     // of nothing
  // A sender that could not go on begins anew.
  CHECK(receiver.add(3, 8, eight) == kYes);
  Incoming whole;
  CHECK(receiver.take(2, 7, 16, 1, whole) == kRefused);
  CHECK(receiver.take(3, 7, 8, 1, whole) == kYes);
}

void a_receiver_holds_no_more_than_its_bound() {
  const std::array<std::byte, 1> one{};
  LongReceiver receiver;
  CHECK(receiver.add(1, ~std::uint64_t{0}, one) == kRefused);
  CHECK(receiver.add(2, 2 * wire::kMaxMessage + 1, one) == kRefused);
  CHECK(receiver.held() == 0);
  // Bulks that nobody drops count, whatever messages brought them.
  const std::vector<std::byte> large(wire::kMaxMessage / 2);
  std::vector<Bulk> kept;
  std::uint64_t number = 3;
  for (; receiver.add(number, large.size(), large) == kYes; ++number) {
    Incoming whole;
    CHECK(receiver.take(number, 7, 0, 1, whole) == kYes);
    kept.push_back(std::move(whole.bulk));
    CHECK(receiver.held() <= 2 * wire::kMaxMessage);
  }
  CHECK(kept.size() == 4);
  kept.clear();
  CHECK(receiver.add(number, large.size(), large) == kYes);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  for (const auto kind : kAllKinds) arrive_whole_from_several_threads(kind);
  what_no_message_may_have_is_the_callers_error();
  pieces_make_fields_and_bulk();
  pieces_have_to_fit_each_other();
  a_receiver_holds_no_more_than_its_bound();
  return 0;
}
