// SPDX-License-Identifier: Apache-2.0
//
// Keeps the driver loadable by programs and guests whose C library is older than the build
// machine's (down to glibc 2.31).
//
// Our own code asks for nothing newer, but the C++ runtime that is linked into the driver was
// compiled against the build machine's glibc and refers to names that came later, or to later
// versions of thread functions that moved from libpthread to libc without a change. Both are
// answered here:
//   - moved functions are hidden wrappers around the version of 2.2.5 (of 2.30 for a wait by a
//   given
//     clock), which every glibc that counts has;
//   - new ones are small substitutes: a process that is never taken for single-threaded, random
//     bytes from the kernel, and the unwinder's look-up of the object that holds an address.
// Building in an old distribution was refused: the two commands must work on a plain Debian 12.
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

// Before glibc 2.34 these live in a library of their own, which the build names for that reason.
#define TESSERA_OLD(name) __asm__(".symver tessera_old_" #name "," #name "@GLIBC_2.2.5")

extern "C" {

int tessera_old_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int tessera_old_pthread_detach(pthread_t);
int tessera_old_pthread_join(pthread_t, void**);
int tessera_old_pthread_once(pthread_once_t*, void (*)());
int tessera_old_pthread_key_create(pthread_key_t*, void (*)(void*));
int tessera_old_pthread_key_delete(pthread_key_t);
void* tessera_old_pthread_getspecific(pthread_key_t);
// The value is stored and never looked at, which the header says to the compiler for its own name
// only.
int tessera_old_pthread_setspecific(pthread_key_t, const void*) __attribute__((access(none, 2)));
int tessera_old_pthread_sigmask(int, const sigset_t*, sigset_t*);
int tessera_old_pthread_cond_clockwait(pthread_cond_t*, pthread_mutex_t*, clockid_t,
                                       const timespec*);
TESSERA_OLD(pthread_create);
TESSERA_OLD(pthread_detach);
TESSERA_OLD(pthread_join);
TESSERA_OLD(pthread_once);
TESSERA_OLD(pthread_key_create);
TESSERA_OLD(pthread_key_delete);
TESSERA_OLD(pthread_getspecific);
TESSERA_OLD(pthread_setspecific);
TESSERA_OLD(pthread_sigmask);
__asm__(".symver tessera_old_pthread_cond_clockwait,pthread_cond_clockwait@GLIBC_2.30");

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) noexcept {
  return tessera_old_pthread_create(thread, attributes, run, argument);
}
int pthread_detach(pthread_t thread) noexcept {
  return tessera_old_pthread_detach(thread);
}
int pthread_join(pthread_t thread, void** result) {
  return tessera_old_pthread_join(thread, result);
}
int pthread_once(pthread_once_t* once, void (*run)()) {
  return tessera_old_pthread_once(once, run);
}
int pthread_key_create(pthread_key_t* key, void (*destroy)(void*)) noexcept {
  return tessera_old_pthread_key_create(key, destroy);
}
int __pthread_key_create(pthread_key_t* key, void (*destroy)(void*)) noexcept {
  return tessera_old_pthread_key_create(key, destroy);
}
int pthread_key_delete(pthread_key_t key) noexcept {
  return tessera_old_pthread_key_delete(key);
}
void* pthread_getspecific(pthread_key_t key) noexcept {
  return tessera_old_pthread_getspecific(key);
}
int pthread_setspecific(pthread_key_t key, const void* value) noexcept {
  return tessera_old_pthread_setspecific(key, value);
}
int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) noexcept {
  return tessera_old_pthread_sigmask(how, set, old);
}

int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                           const timespec* until) {
  return tessera_old_pthread_cond_clockwait(condition, mutex, clock, until);
}

char __libc_single_threaded = 0;

std::uint32_t arc4random() noexcept {
  std::uint32_t value = 0;
  while (::syscall(SYS_getrandom, &value, sizeof value, 0) != sizeof value) {
  }
  return value;
}

struct ObjectSearch {
  std::uintptr_t address;
  dl_find_object* found;
};

static int compare_object(dl_phdr_info* object, std::size_t, void* data) {
  auto* search = static_cast<ObjectSearch*>(data);
  bool holds = false;
  const ElfW(Phdr)* frames = nullptr;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object->dlpi_phdr[i];
    if (part.p_type == PT_GNU_EH_FRAME) frames = &part;
    const std::uintptr_t begin = object->dlpi_addr + part.p_vaddr;
    if (part.p_type != PT_LOAD || search->address - begin >= part.p_memsz) continue;
    holds = true;
    search->found->dlfo_map_start = reinterpret_cast<void*>(begin);
    search->found->dlfo_map_end = reinterpret_cast<void*>(begin + part.p_memsz);
  }
  if (!holds || frames == nullptr) return 0;
  search->found->dlfo_eh_frame = reinterpret_cast<void*>(object->dlpi_addr + frames->p_vaddr);
  return 1;
}

int _dl_find_object(void* address, dl_find_object* found) noexcept {
  ObjectSearch search{reinterpret_cast<std::uintptr_t>(address), found};
  *found = {};
  return dl_iterate_phdr(compare_object, &search) == 1 ? 0 : -1;
}

}  // extern "C"
