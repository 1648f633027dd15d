// SPDX-License-Identifier: Apache-2.0
#include "lease/quota.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "lease/layout.h"

namespace tessera {
namespace {

constexpr std::uint64_t kLimits[] = {1000, 500};

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/tessera-quota-XXXXXX";
    CHECK(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Folder() {
    ::unlink(file().c_str());
    ::rmdir(path_.c_str());
  }
  std::string file() const { return path_ + "/quota"; }

 private:
  std::string path_;
};

Quota make(const Folder& folder) {
  return Quota::create(folder.file(), "lease-1", kLimits, 2);
}

void file_is_private_and_replaced() {
  Folder folder;
  Quota first = make(folder);
  first.reserve(first.acquire_slot(), 1, 10);
  Quota second = make(folder);
  struct stat facts {};
  CHECK(::stat(folder.file().c_str(), &facts) == 0);
  CHECK((facts.st_mode & 0777) == 0600);
  CHECK(second.page().gpus[0].used == 0 && first.page().gpus[0].used == 10);
  CHECK(std::string(second.page().lease_id.data()) == "lease-1");
}

void limit_holds_over_all_gpus_of_a_mask() {
  Folder folder;
  Quota quota = make(folder);
  const std::size_t slot = quota.acquire_slot();
  CHECK(quota.reserve(slot, 0b11, 500));
  // GPU 1 is full, so that nothing is taken of GPU 0 either.
  CHECK(!quota.reserve(slot, 0b11, 1));
  CHECK(quota.page().gpus[0].used == 500 && quota.page().gpus[1].used == 500);
  CHECK(quota.page().gpus[0].refused == 0 && quota.page().gpus[1].refused == 1);
  CHECK(quota.reserve(slot, 0b01, 500));
  CHECK(!quota.reserve(slot, 0b01, 1, false));
  CHECK(quota.page().gpus[0].refused == 0);
  CHECK(!quota.reserve(slot, 0b01, UINT64_MAX));
  quota.release(slot, 0b11, 500);
  CHECK(quota.page().gpus[0].used == 500 && quota.page().gpus[1].used == 0);
  CHECK(quota.page().gpus[0].peak == 1000);
}

void limits_change_together_or_not_at_all() {
  Folder folder;
  Quota quota = make(folder);
  const std::size_t slot = quota.acquire_slot();
  CHECK(quota.reserve(slot, 0b11, 400));
  const NewLimit refused[] = {{0, 2000}, {1, 399}};
  const auto below = quota.resize(refused);
  CHECK(below && below->gpu == 1 && below->used == 400);
  CHECK(quota.limit(0) == 1000 && quota.limit(1) == 500 && quota.page().resizes == 0);
  const NewLimit wanted[] = {{0, 2000}, {1, 400}};
  CHECK(!quota.resize(wanted));
  CHECK(quota.page().resizes == 1);
  CHECK(!quota.reserve(slot, 0b10, 1) && quota.reserve(slot, 0b01, 1600));
  const NewLimit nowhere[] = {{0, 5000}, {2, 1}};
  CHECK_THROWS(quota.resize(nowhere), std::out_of_range);
  CHECK(quota.limit(0) == 2000);
}

void one_session_cannot_give_back_what_another_holds() {
  Folder folder;
  Quota quota = make(folder);
  const std::size_t a = quota.acquire_slot();
  const std::size_t b = quota.acquire_slot();
  CHECK(quota.reserve(a, 1, 600));
  quota.release(b, 1, 600);
  CHECK(quota.page().gpus[0].used == 600);
}

void slots_run_out_and_come_back() {
  Folder folder;
  Quota quota = make(folder);
  for (std::size_t i = 0; i < kMaxSessions; ++i) CHECK(quota.acquire_slot() == i);
  CHECK(quota.acquire_slot() == kMaxSessions);
  CHECK(quota.page().live_sessions == kMaxSessions);
  CHECK(quota.reserve(7, 1, 100));
  quota.free_slot(7);
  CHECK(quota.page().gpus[0].used == 0);
  CHECK(quota.page().live_sessions == kMaxSessions - 1);
  CHECK(quota.acquire_slot() == 7);
  CHECK(quota.page().sessions_total == kMaxSessions + 1);
}

// A worker is killed between the change of its slot and that of the total, with the mutex in its
// hands.
void killed_holder_leaves_a_correct_total() {
  Folder folder;
  Quota quota = make(folder);
  const std::size_t survivor = quota.acquire_slot();
  const std::size_t victim = quota.acquire_slot();
  CHECK(quota.reserve(survivor, 1, 100));
  const pid_t child = ::fork();
  if (child == 0) {
    Quota inherited = Quota::attach(::dup(quota.fd()));
    if (::pthread_mutex_lock(&inherited.page().mutex) != 0) ::_exit(1);
    inherited.page().gpus[0].used += 777;
    ::raise(SIGKILL);
  }
  int status = 0;
  CHECK(::waitpid(child, &status, 0) == child && WIFSIGNALED(status));
  CHECK(quota.reserve(survivor, 1, 900));
  CHECK(quota.page().gpus[0].used == 1000);
  quota.free_slot(victim);
  quota.free_slot(survivor);
  CHECK(quota.page().gpus[0].used == 0);
}

void many_threads_never_pass_the_limit() {
  Folder folder;
  Quota quota = make(folder);
  std::vector<std::size_t> slots;
  for (int i = 0; i < 4; ++i) slots.push_back(quota.acquire_slot());
  std::vector<std::thread> threads;
  for (const std::size_t slot : slots) {
    threads.emplace_back([&quota, slot] {
      for (int i = 0; i < 5000; ++i) {
        if (quota.reserve(slot, 0b11, 301)) quota.release(slot, 0b11, 301);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(quota.page().gpus[0].used == 0 && quota.page().gpus[1].used == 0);
  // Two at once would have been 602 of 500.
  CHECK(quota.page().gpus[1].peak == 301);
}

void another_page_is_refused() {
  Folder folder;
  Quota quota = make(folder);
  quota.page().version = kQuotaVersion + 1;
  CHECK_THROWS(Quota::attach(::dup(quota.fd())), std::runtime_error);
  quota.page().version = kQuotaVersion;
  quota.page().gpu_count = kMaxGpus + 1;
  CHECK_THROWS(Quota::attach(::dup(quota.fd())), std::runtime_error);
  CHECK(::ftruncate(quota.fd(), 100) == 0);
  CHECK_THROWS(Quota::attach(::dup(quota.fd())), std::runtime_error);
}

void layout_names_every_field() {
  const std::string json = quota_layout_json();
  CHECK(json.starts_with("{\n \"magic\": [0, 8],"));
  CHECK(json.find("\"slots.reserved\"") != json.npos && json.find("\"gpus.refused\"") != json.npos);
}

}  // namespace
}  // namespace tessera

int main() {
  using namespace tessera;
  file_is_private_and_replaced();
  limit_holds_over_all_gpus_of_a_mask();
  limits_change_together_or_not_at_all();
  one_session_cannot_give_back_what_another_holds();
  slots_run_out_and_come_back();
  killed_holder_leaves_a_correct_total();
  many_threads_never_pass_the_limit();
  another_page_is_refused();
  layout_names_every_field();
  return 0;
}
