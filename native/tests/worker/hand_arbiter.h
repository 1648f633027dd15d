// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <memory>

#include "arbiter/board_file.h"
#include "base/futex.h"
#include "opencl/worker/gate.h"

namespace tessera::test {

template <class Condition>
void eventually(Condition condition) {
  for (int i = 0; !condition(); ++i) {
    CHECK(i < 10'000);
    ::usleep(1000);
  }
}

// The board of a GPU with one tenant, whose grants the test writes by hand.
struct HandArbiter {
  HandArbiter()
      : page(BoardPage::open(file.path(), "gpu0")),
        tenant(page->tenants[page.register_tenant("lease", 100, kWholeDevice)]) {
    page->arbiter_pid.store(::getpid());
  }
  std::unique_ptr<worker::Gate> gate() const {
    return std::make_unique<worker::Gate>(BoardPage::attach(file.path()), 0);
  }
  Seat& seat() { return page->seats[0]; }
  // Of the tenant, since count_anew().
  std::uint64_t commands() const { return tenant.commands.load() - before; }
  void count_anew() { before = tenant.commands.load(); }

  void grant(std::uint64_t until_ns, bool contended) {
    tenant.until_ns.store(until_ns);
    page->contended.store(contended ? 1 : 0);
    tenant.grant.store(++grants);
    futex_wake_all(tenant.grant);
  }
  void take_back() {
    page->contended.store(1);
    tenant.grant.store(0);
    seat().poke.fetch_add(1);
    futex_wake_all(seat().poke);
  }

  BoardFile file;
  BoardPage page;
  Tenant& tenant;
  std::uint32_t grants = 0;
  std::uint64_t before = 0;
};

}  // namespace tessera::test
