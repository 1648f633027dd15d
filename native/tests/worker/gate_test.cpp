// SPDX-License-Identifier: Apache-2.0
//
// A session before a shared GPU. The test plays the arbiter: it writes grants by hand.
#include "opencl/worker/gate.h"

#include "arbiter/policy.h"
#include "base/clock.h"
#include "check.h"
#include "opencl/worker/nap_length.h"
#include "worker/hand_arbiter.h"
#include "worker/sleeping_threads.h"
#include "worker/suspending.h"

namespace tessera::test {
namespace {

constexpr wire::Id kUserEvent = 4;

// A session that is the only tenant of a board.
struct Shared : HandArbiter {
  Shared() {
    WorkerPair::Gates gates;
    gates.push_back(gate());
    pair = std::make_unique<WorkerPair>(TransportKind::shm, 1, std::move(gates));
    pair->open();
    grant(kNoEnd, false);
    pair->make_queue(kContext, kQueue);
    wire::CreateBuffer buffer;
    buffer.buffer = kBuffer;
    buffer.context = kContext;
    buffer.size = 4096;
    pair->send(buffer);
    finish();
    // Fresh memory may have been filled with zeros, which is charged as well.
    count_anew();
  }
  ~Shared() {
    grant(kNoEnd, false);  // a session that waits for one would never end
    pair.reset();
  }
  void fill(std::span<const wire::Id> waits = {}, wire::Id event = 0) {
    static constexpr std::byte kPattern[4]{};
    wire::FillBuffer message;
    message.queue = kQueue;
    message.buffer = kBuffer;
    message.pattern = {kPattern, sizeof kPattern};
    message.cb = 4096;
    message.wait_list = waits;
    message.event = event;
    pair->send(message);
  }
  std::uint64_t ask_finish() {
    wire::FinishQueue message;
    message.queue = kQueue;
    return pair->send(message);
  }
  void finish() {
    const std::uint64_t sequence = ask_finish();
    const auto reply = pair->until<wire::Reply>();
    CHECK(reply.of == sequence && reply.status == CL_SUCCESS);
  }

  std::unique_ptr<WorkerPair> pair;
};

void a_command_waits_for_a_grant() {
  Shared gpu;
  gpu.take_back();
  gpu.fill();
  const std::uint64_t asked = gpu.ask_finish();
  eventually([&] { return gpu.seat().wants.load() == 1; });
  CHECK(gpu.pair->quiet() && gpu.seat().busy.load() == 0);
  CHECK(gpu.commands() == 0);
  CHECK(gpu.seat().attended.load() == 1);
  gpu.grant(kNoEnd, false);
  CHECK(gpu.pair->until<wire::Reply>().of == asked);
  CHECK(gpu.seat().attended.load() == 0);
  CHECK(gpu.seat().wants.load() == 0);
  eventually([&] { return gpu.commands() == 1; });
  CHECK(gpu.tenant.waits.load() == 1 && gpu.tenant.waited_ns.load() > 0);
}

void a_lone_lease_rings_for_nothing() {
  Shared gpu;
  gpu.grant(kNoEnd, false);
  gpu.fill();
  gpu.finish();
  const std::uint32_t rung = gpu.page->doorbell.load();
  for (int i = 0; i < 500; ++i) gpu.fill();
  gpu.finish();
  CHECK(gpu.commands() == 501 && gpu.tenant.waits.load() == 0);
  CHECK(gpu.page->doorbell.load() == rung);
}

void a_finished_session_gives_way() {
  Shared gpu;
  gpu.grant(kNoEnd, true);
  gpu.fill();
  const std::uint32_t rung = gpu.page->doorbell.load();
  gpu.finish();
  CHECK(gpu.seat().busy.load() == 0 && gpu.page->doorbell.load() != rung);
}

void a_silent_session_gives_way_when_its_grant_is_taken_back() {
  Shared gpu;
  gpu.grant(kNoEnd, false);
  gpu.fill();
  eventually([&] { return gpu.seat().busy.load() == 1; });
  gpu.take_back();
  eventually([&] { return gpu.seat().busy.load() == 0; });
  CHECK(gpu.commands() == 1);
}

void a_grant_that_is_over_is_none() {
  Shared gpu;
  gpu.grant(static_cast<std::uint64_t>(monotonic_ns()), true);
  gpu.fill();
  eventually([&] { return gpu.seat().wants.load() == 1; });
  CHECK(gpu.commands() == 0);
}

void markers_need_no_grant() {
  Shared gpu;
  gpu.take_back();
  wire::EnqueueMarker message;
  message.queue = kQueue;
  gpu.pair->send(message);
  gpu.finish();
  CHECK(gpu.seat().wants.load() == 0);
}

void what_waits_for_the_client_keeps_nobody_waiting() {
  Shared gpu;
  gpu.grant(kNoEnd, true);
  wire::CreateUserEvent create;
  create.event = kUserEvent;
  create.context = kContext;
  gpu.pair->send(create);
  const wire::Id waits[] = {kUserEvent};
  gpu.fill(waits);
  gpu.fill();
  settle(*gpu.pair);
  CHECK(gpu.seat().busy.load() == 0);
  gpu.take_back();
  // Setting it sets them running: that needs a grant.
  wire::SetUserEventStatus set;
  set.event = kUserEvent;
  set.status = CL_COMPLETE;
  gpu.pair->send(set);
  eventually([&] { return gpu.seat().wants.load() == 1; });
  CHECK(gpu.commands() == 0);
  gpu.grant(kNoEnd, true);
  gpu.finish();
  CHECK(gpu.commands() == 2);
}

void initial_contents_are_metered() {
  Shared gpu;
  gpu.take_back();
  const std::vector<std::byte> bytes(4096, std::byte{1});
  wire::InitializeBuffer message;
  message.buffer = kBuffer;
  gpu.pair->send(message, bytes);
  eventually([&] { return gpu.seat().wants.load() == 1; });
  gpu.grant(kNoEnd, false);
  eventually([&] { return gpu.commands() == 1; });
}

// Few bytes are copied by the driver as it makes their buffer, many by a command.
void contents_that_come_with_a_creation_need_a_grant() {
  for (const std::size_t size : {4, 128 * 1024}) {
    Shared gpu;
    gpu.take_back();
    const std::vector<std::byte> bytes(size, std::byte{1});
    wire::CreateBuffer message;
    message.buffer = 10;
    message.context = kContext;
    message.size = size;
    gpu.pair->send(message, bytes);
    eventually([&] { return gpu.seat().wants.load() == 1; });
    CHECK(gpu.pair->gpu().used == 4096 + size);
    gpu.grant(kNoEnd, false);
    gpu.finish();
    CHECK((gpu.commands() != 0) == (size != 4));
    eventually([&] { return gpu.seat().busy.load() == 0; });
  }
}

void what_entered_unmetered_has_no_foreseen_end() {
  Shared gpu;
  gpu.grant(kNoEnd, true);
  for (int i = 0; i < 3; ++i) {
    gpu.fill();
    gpu.finish();
  }
  CHECK(gpu.seat().ends_ns.load() != kNoEnd);
  gpu.grant(kNoEnd, false);
  gpu.fill();
  gpu.finish();
  CHECK(gpu.seat().ends_ns.load() == kNoEnd);
}

// A context of the driver's own.
struct Device {
  Device() {
    cl_platform_id platform = nullptr;
    cl_device_id device = nullptr;
    CHECK(clGetPlatformIDs(1, &platform, nullptr) == CL_SUCCESS);
    CHECK(clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, nullptr) == CL_SUCCESS);
    context = clCreateContext(nullptr, 1, &device, nullptr, nullptr, nullptr);
    CHECK(context != nullptr);
  }
  Device(const Device&) = delete;
  ~Device() { clReleaseContext(context); }
  cl_context context = nullptr;
};

// A command that ends when the test says so.
struct Running {
  explicit Running(cl_context context) : event(clCreateUserEvent(context, nullptr)) {
    CHECK(event != nullptr);
  }
  ~Running() { clReleaseEvent(event); }
  worker::Flight flight() const {
    worker::Flight one;
    one.event = event;
    return one;
  }
  void end() const { CHECK(clSetUserEventStatus(event, CL_COMPLETE) == CL_SUCCESS); }
  cl_uint references() const {
    cl_uint count = 0;
    CHECK(clGetEventInfo(event, CL_EVENT_REFERENCE_COUNT, sizeof count, &count, nullptr) ==
          CL_SUCCESS);
    return count;
  }
  cl_event event;
};

void it_knows_whether_the_device_had_work_since_it_was_last_asked() {
  const BoardFile file;
  BoardPage page = BoardPage::open(file.path(), "gpu0");
  page->tenants[page.register_tenant("lease", 100, kWholeDevice)].grant.store(1);
  const Device device;
  {
    Running first(device.context), second(device.context), third(device.context);
    worker::Gate gate(BoardPage::attach(file.path()), 0);
    CHECK(!gate.worked_through());
    gate.entered(first.flight());
    CHECK(!gate.worked_through());  // it was not there when the one before was asked
    CHECK(gate.worked_through());
    gate.entered(second.flight());
    first.end();
    CHECK(!gate.worked_through());
    CHECK(gate.worked_through());
    page->contended.store(1);
    CHECK(!gate.worked_through());
    page->contended.store(0);
    CHECK(gate.worked_through());
    gate.entered(third.flight());
    CHECK(gate.worked_through());
    for (const Running* one : {&second, &third}) one->end();
    // Nothing of what has ended is kept.
    gate.settle();
    for (const Running* one : {&first, &second, &third}) CHECK(one->references() == 1);
  }
}

// What runs on at the head of the list hides nothing: what ends behind it is charged, let go of,
// and counts as under way no more.
void what_ends_behind_many_that_run_is_found() {
  constexpr std::size_t kRunOn = 100;
  HandArbiter gpu;
  gpu.grant(kNoEnd, false);
  const Device device;
  {
    std::vector<std::unique_ptr<Running>> all;
    for (std::size_t i = 0; i < 5 * kRunOn; ++i) {
      all.push_back(std::make_unique<Running>(device.context));
    }
    const auto gate = gpu.gate();
    for (const auto& one : all) gate->entered(one->flight());
    for (std::size_t i = kRunOn; i < all.size(); ++i) all[i]->end();
    const auto let_go = [&](const auto& one) { return one->references() == 1; };
    for (int looks = 0; std::ranges::count_if(all, let_go) != 4 * kRunOn; ++looks) {
      CHECK(looks < 1000);
      gate->settle();
    }
    for (std::size_t i = 0; i < kRunOn; ++i) CHECK(!let_go(all[i]));
    CHECK(gate->try_enter(0));
    gate->left();
    CHECK(gpu.seat().busy.load() == 1);
    for (std::size_t i = 0; i < kRunOn; ++i) all[i]->end();
    gate->settle();
    CHECK(gpu.seat().busy.load() == 0);
    CHECK(std::ranges::all_of(all, let_go));
  }
}

void naps_grow_while_the_device_has_work_and_are_short_again_when_it_had_none() {
  worker::NapLength naps;
  CHECK(naps.next(false) == kShortNap);
  CHECK(naps.next(true) == 2 * kShortNap);
  CHECK(naps.next(true) == 4 * kShortNap);
  for (int i = 0; i < 20; ++i) naps.next(true);
  CHECK(naps.next(true) == worker::NapLength::kLongest);
  CHECK(naps.next(false) == kShortNap);
}

// A driver that computes on the host's cores has a core for each of its threads while others want
// the GPU, and only then.
void the_driver_is_kept_apart_while_others_want_the_gpu() {
  const int cores = usable_cores();
  if (cores < 2) return;
  const Threads threads(cores);
  worker::DriverThreads::of_this_process().adopt(threads.ids);
  const auto before = threads.cores();
  Shared gpu;
  gpu.fill();
  gpu.finish();
  CHECK(threads.cores() == before);
  gpu.take_back();
  gpu.fill();
  eventually([&] { return gpu.seat().wants.load() == 1; });
  CHECK(threads.cores() == before);
  gpu.grant(monotonic_ns() + 60'000'000'000, true);
  gpu.finish();
  for (const auto& own : threads.cores()) CHECK(std::ranges::count(own, '1') == 1);
  gpu.grant(kNoEnd, false);
  eventually([&] { return threads.cores() == before; });
}

void a_session_leaves_its_seat() {
  Shared gpu;
  CHECK(gpu.seat().worker_pid.load() == ::getpid());
  gpu.pair.reset();
  CHECK(gpu.seat().worker_pid.load() == 0);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  a_command_waits_for_a_grant();
  a_lone_lease_rings_for_nothing();
  a_finished_session_gives_way();
  a_silent_session_gives_way_when_its_grant_is_taken_back();
  a_grant_that_is_over_is_none();
  markers_need_no_grant();
  what_waits_for_the_client_keeps_nobody_waiting();
  initial_contents_are_metered();
  contents_that_come_with_a_creation_need_a_grant();
  what_entered_unmetered_has_no_foreseen_end();
  it_knows_whether_the_device_had_work_since_it_was_last_asked();
  what_ends_behind_many_that_run_is_found();
  naps_grow_while_the_device_has_work_and_are_short_again_when_it_had_none();
  a_session_leaves_its_seat();
  the_driver_is_kept_apart_while_others_want_the_gpu();
}
