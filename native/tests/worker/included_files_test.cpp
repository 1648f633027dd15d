// SPDX-License-Identifier: Apache-2.0
//
// Programs whose source includes files of the client, message by message, over the null driver,
// whose binaries are the text that it was given.
#include <string>

#include "check.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kProgram = 10, kKernel = 11, kHeader = 12;
constexpr std::string_view kSource = "#include <a.h>\nkernel void run(void) {}\n";

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// The texts of a build: the source with the first file's name replaced, other sources, the file.
struct Texts {
  explicit Texts(std::string_view file, std::string_view header = {}) {
    add("#include ", 1, false);
    add("\nkernel void run(void) {}\n", 0, true);
    if (!header.empty()) add(header, 0, true);
    add(file, 0, true);
  }
  void add(std::string_view part, std::uint32_t number, bool last) {
    all += part;
    sizes.push_back(static_cast<std::uint32_t>(part.size()));
    files.push_back(number);
    if (last) ends.push_back(static_cast<std::uint32_t>(sizes.size()));
  }
  template <class Message>
  void put(Message& message) const {
    message.part_sizes = sizes;
    message.part_files = files;
    message.text_ends = ends;
  }
  std::string all;
  std::vector<std::uint32_t> sizes, files, ends;
};

void create_program(WorkerPair& pair, wire::Id id = kProgram, std::string_view source = kSource) {
  wire::CreateProgramWithSource create;
  create.program = id;
  create.context = kContext;
  pair.send(create, bytes(source));
}

cl_int built(WorkerPair& pair) {
  return pair.until<wire::BuildDone>().status;
}

void send_build(WorkerPair& pair, const Texts* texts, std::string_view options = "") {
  wire::BuildProgram message;
  message.program = kProgram;
  message.options = options;
  if (texts != nullptr) texts->put(message);
  pair.send(message, texts != nullptr ? bytes(texts->all) : bytes(""));
}

cl_int build(WorkerPair& pair, std::string_view file, std::string_view options = "") {
  const Texts texts(file);
  send_build(pair, &texts, options);
  return built(pair);
}

void create_kernel(WorkerPair& pair) {
  wire::CreateKernel create;
  create.kernel = kKernel;
  create.program = kProgram;
  create.name = "run";
  pair.send(create);
}

void launch(WorkerPair& pair) {
  wire::EnqueueNdRange message;
  message.queue = kQueue;
  message.kernel = kKernel;
  message.work_dim = 1;
  message.global = {1, 0, 0};
  pair.send(message);
  CHECK(finished(pair) == CL_SUCCESS);
}

// What the driver was given.
std::string text(WorkerPair& pair) {
  wire::GetProgramBinary get;
  get.program = kProgram;
  pair.send(get);
  CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
  return {reinterpret_cast<const char*>(pair.bulk().data()), pair.bulk().size()};
}

void the_driver_is_given_paths_of_the_workers_own() {
  WorkerPair pair;
  begin(pair);
  create_program(pair);
  CHECK(build(pair, "one") == CL_SUCCESS);
  const std::string first = text(pair);
  CHECK(first.find("/tessera-header-1\"\nkernel void run") != first.npos);
  CHECK(first.find("<a.h>") == first.npos);
  // The same files have the same path, so that a driver finds what it has compiled.
  CHECK(build(pair, "two") == CL_SUCCESS && text(pair) != first);
  CHECK(build(pair, "one") == CL_SUCCESS && text(pair) == first);
  // Without files the source is what it was.
  send_build(pair, nullptr);
  CHECK(built(pair) == CL_SUCCESS);
  CHECK(text(pair).ends_with(kSource));
}

void headers_of_a_compilation_include_files_too() {
  WorkerPair pair;
  begin(pair);
  create_program(pair);
  create_program(pair, kHeader, "header");
  const std::array<wire::Id, 1> headers{kHeader};
  const Texts texts("file", "header");
  for (const bool with : {true, false}) {
    wire::CompileProgram compile;
    compile.program = kProgram;
    compile.headers = headers;
    compile.header_names = {"h"};
    if (with) texts.put(compile);
    pair.send(compile, with ? bytes(texts.all) : bytes(""));
    CHECK(built(pair) == CL_SUCCESS);
  }
}

void a_program_with_kernels_keeps_its_text() {
  WorkerPair pair;
  begin(pair);
  create_program(pair);
  CHECK(build(pair, "one") == CL_SUCCESS);
  create_kernel(pair);
  CHECK(build(pair, "two") == CL_INVALID_OPERATION);
  send_build(pair, nullptr);
  CHECK(built(pair) == CL_INVALID_OPERATION);
  release(pair, kKernel);
  CHECK(build(pair, "two") == CL_SUCCESS);
}

void a_resume_builds_from_what_was_sent() {
  WorkerPair pair;
  begin(pair);
  create_program(pair);
  CHECK(build(pair, "one") == CL_SUCCESS);
  const std::string before = text(pair);
  create_kernel(pair);
  settle(pair);
  const worker::StateNeeds needs = suspend(pair);
  CHECK(needs.bytes >= Texts("one").all.size());
  resume(pair);
  launch(pair);
  CHECK(text(pair) == before);
}

void what_no_record_keeps_is_refused_by_name() {
  WorkerPair pair;
  begin(pair);
  constexpr std::size_t kPiece = 15 << 20;
  const std::string source(kPiece, ' ');
  for (wire::Id id = 100; id < 117; ++id) create_program(pair, id, source);
  create_program(pair);
  CHECK(build(pair, std::string(kPiece, ' ')) == CL_SUCCESS);
  CHECK(error_of([&] { pair.session().check_suspend(); }) == "SuspendUnsupported");
  CHECK(build(pair, "small") == CL_SUCCESS);
  pair.session().check_suspend();
}

void variables_of_programs_are_refused_by_name() {
  for (const bool in_file : {false, true}) {
    WorkerPair pair;
    begin(pair);
    constexpr std::string_view kVariable = "global int counter;\n";
    const std::string own = std::string(in_file ? "" : kVariable) + std::string(kSource);
    create_program(pair, kProgram, own);
    const std::string_view file = in_file ? kVariable : "";
    CHECK(build(pair, file, "-cl-std=CL2.0") == CL_SUCCESS);
    create_kernel(pair);
    settle(pair);
    // They have their first values until something runs.
    pair.session().check_suspend();
    launch(pair);
    CHECK(error_of([&] { pair.session().check_suspend(); }) == "SuspendUnsupported");
    CHECK(error_of([&] { suspend(pair); }) == "SuspendUnsupported");
    launch(pair);
    release(pair, kKernel);
    release(pair, kProgram);
    settle(pair);
    suspend(pair);
    resume(pair);
  }
}

void hostile_texts_end_the_session() {
  const auto ends = [](std::string_view why, const Texts& texts, bool from_source = true) {
    WorkerPair pair;
    begin(pair);
    create_program(pair);
    if (!from_source) {
      send_build(pair, nullptr);
      CHECK(built(pair) == CL_SUCCESS);
      const std::string binary = text(pair);
      const std::uint32_t device = 0;
      const std::uint64_t size = binary.size();
      release(pair, kProgram);
      wire::CreateProgramWithBinary create;
      create.program = kProgram;
      create.context = kContext;
      create.devices = std::span(&device, 1);
      create.sizes = std::span(&size, 1);
      pair.send(create, bytes(binary));
      CHECK(pair.until<wire::Reply>().status == CL_SUCCESS);
    }
    send_build(pair, &texts);
    CHECK(pair.end_reason().find(why) != std::string::npos);
  };
  Texts texts("file");
  texts.files[0] = 2;
  ends("a file that is not there", texts);
  texts.files[0] = 0x80000001;
  ends("a file that is not there", texts);
  texts = Texts("file");
  texts.sizes[0] += 1;
  ends("do not fit their bytes", texts);
  texts = Texts("file");
  texts.ends.back() += 1;
  ends("do not fit their parts", texts);
  texts.ends.clear();
  ends("do not fit their parts", texts);
  texts = Texts("file");
  texts.sizes.pop_back();
  ends("without a file each", texts);
  ends("a text for a program that has none", Texts("file"), false);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  the_driver_is_given_paths_of_the_workers_own();
  headers_of_a_compilation_include_files_too();
  a_program_with_kernels_keeps_its_text();
  a_resume_builds_from_what_was_sent();
  what_no_record_keeps_is_refused_by_name();
  variables_of_programs_are_refused_by_name();
  hostile_texts_end_the_session();
  return 0;
}
