// SPDX-License-Identifier: Apache-2.0
//
// What the relay may ask of the kernel once it is set up. It has no file, socket or process to make
// or to find, so a guest that took it over would hold what that guest has anyway: its ports and
// connections to its own lease. (Landlock was refused here: it leaves sockets to the network
// alone.)
#include "guest/confinement.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <initializer_list>
#include <memory>
#include <system_error>

namespace tessera::guest {
namespace {

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};

void check(int result) {
  if (result != 0) throw std::system_error(-result, std::generic_category(), "a seccomp filter");
}

}  // namespace

void confine() {
  const std::unique_ptr<void, Release> filter(::seccomp_init(SCMP_ACT_KILL_PROCESS));
  if (!filter) check(-ENOMEM);
  for (const int call : {
           SCMP_SYS(read),         SCMP_SYS(write),           SCMP_SYS(poll),
           SCMP_SYS(ppoll),        SCMP_SYS(sendmsg),         SCMP_SYS(recvmsg),
           SCMP_SYS(fcntl),        SCMP_SYS(close),           SCMP_SYS(brk),
           SCMP_SYS(munmap),       SCMP_SYS(mremap),          SCMP_SYS(madvise),
           SCMP_SYS(futex),        SCMP_SYS(fstat),           SCMP_SYS(newfstatat),
           SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
           SCMP_SYS(exit_group),
       }) {
    check(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0));
  }
  // Memory, but none to execute.
  check(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  check(::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)));
  // No new privileges is libseccomp's own first step (SCMP_FLTATR_CTL_NNP).
  check(::seccomp_load(filter.get()));
}

}  // namespace tessera::guest
