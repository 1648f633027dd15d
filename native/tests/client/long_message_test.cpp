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
  const std::string source(wire::kMaxMessageBulk + 1, ' ');
  const char* text = source.c_str();
  cl_int code = 1;
  CHECK(api::clCreateProgramWithSource(context, 1, &text, nullptr, &code) == nullptr);
  CHECK(code == CL_OUT_OF_HOST_MEMORY);
  CHECK(api::clReleaseContext(context) == CL_SUCCESS);
}

// ---- the receiver alone

constexpr auto kYes = LongReceiver::Taken::yes;
constexpr auto kRefused = LongReceiver::Taken::refused;

// Takes it to read its fields and its bulk, which are then dropped.
LongReceiver::Taken taken(LongReceiver& receiver, std::uint64_t number, std::uint32_t opcode,
                          std::uint64_t fields_size) {
  Incoming whole;
  std::shared_ptr<const void> fields;
  return receiver.take(number, opcode, fields_size, 1, whole, fields);
}

void pieces_make_fields_and_bulk() {
  LongReceiver receiver;
  const std::array<std::byte, 8> first{std::byte{1}};
  const std::array<std::byte, 5> second{std::byte{2}};
  CHECK(receiver.add(1, 13, first) == kYes);
  CHECK(taken(receiver, 1, 7, 8) == kRefused);  // a piece is missing
  CHECK(receiver.add(1, 13, second) == kYes);
  CHECK(taken(receiver, 2, 7, 8) == kRefused);        // of another message
  CHECK(taken(receiver, 1, 7, 14) == kRefused);       // more fields than bytes
  CHECK(taken(receiver, 1, 0x10000, 8) == kRefused);  // no opcode
  Incoming whole;
  std::shared_ptr<const void> fields;
  CHECK(receiver.take(1, 7, 8, 3, whole, fields) == kYes);
  CHECK(whole.opcode == 7 && whole.sequence == 3);
  CHECK(std::ranges::equal(whole.fields, first));
  CHECK(std::ranges::equal(std::span(whole.bulk.data(), whole.bulk.size()), second));
  CHECK(taken(receiver, 1, 7, 8) == kRefused);  // once only
  whole.bulk.reset();
  CHECK(receiver.held() == 8);
  fields.reset();
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
  CHECK(taken(receiver, 2, 7, 16) == kRefused);
  CHECK(taken(receiver, 3, 7, 8) == kYes);
}

void neither_part_is_longer_than_a_message_may_be() {
  const std::vector<std::byte> large(wire::kMaxMessageFields + 1);
  LongReceiver receiver;
  CHECK(receiver.add(1, large.size(), large) == kYes);
  CHECK(taken(receiver, 1, 7, large.size()) == kRefused);
  CHECK(taken(receiver, 1, 7, large.size() - 1) == kYes);
}

void a_receiver_holds_no_more_than_its_bound() {
  const std::array<std::byte, 1> one{};
  LongReceiver receiver;
  CHECK(receiver.add(1, ~std::uint64_t{0}, one) == kRefused);
  CHECK(receiver.add(2, LongReceiver::kMost + 1, one) == kRefused);
  CHECK(receiver.held() == 0);
  // Bulks that nobody drops count, and so do the fields of handlers that wait.
  const std::vector<std::byte> large(wire::kMaxMessageFields);
  std::vector<Bulk> bulks;
  std::vector<std::shared_ptr<const void>> handlers;
  std::uint64_t number = 3;
  for (; receiver.add(number, large.size(), large) == kYes; ++number) {
    Incoming whole;
    std::shared_ptr<const void> fields;
    CHECK(receiver.take(number, 7, number % 2 == 0 ? 0 : large.size(), 1, whole, fields) == kYes);
    if (number % 2 != 0) handlers.push_back(fields);
    bulks.push_back(std::move(whole.bulk));
    CHECK(receiver.held() == bulks.size() * large.size());
    CHECK(receiver.held() <= LongReceiver::kMost);
  }
  CHECK(receiver.held() == LongReceiver::kMost);
  bulks.clear();
  handlers.clear();
  CHECK(receiver.held() == 0);
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
  neither_part_is_longer_than_a_message_may_be();
  a_receiver_holds_no_more_than_its_bound();
  return 0;
}
