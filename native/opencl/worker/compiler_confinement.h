// SPDX-License-Identifier: Apache-2.0
//
// What a driver's compiler may see of the host while it compiles for a tenant.
//
// OpenCL C has #include, and a compiler that is told to include a file shows pieces of it in its
// log: with it a tenant reads whatever the worker's user may read, other tenants' suspended memory
// among it. Absolute names cannot be refused by looking at the source, for a macro may make them.
// So the driver's compiler runs on a thread that Linux' Landlock keeps to the system's programs and
// libraries, the driver's own files, and its cache of kernels. Programs that it starts are kept to
// the same.
//
// A program's own headers are opened by the client and come with the build (header_folder.h): the
// compiler sees the folder that they were written into, and none of the client's.
//
// A thread, not the process: the worker itself writes states to disk and drivers open devices when
// they like. It holds a compiler that does as it is told; a driver that was taken over is held by
// the worker's user and, where tenants do not trust each other, by a virtual machine.
//
// Where the kernel has no Landlock (before 5.13, or not switched on) nothing is held; `tessera
// doctor` says so.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace tessera::worker {

class CompilerConfinement {
 public:
  // Of this process: from its environment and the libraries that it has loaded by now. Made once.
  static const CompilerConfinement& of_process();

  // Places that may be read and executed from, and those that may be written as well; those that
  // are not there are left out.
  CompilerConfinement(std::vector<std::string> read, std::vector<std::string> write);

  bool available() const { return version_ >= 1; }
  // Calls `work` on a thread of its own that sees no more than that and the files in `folder`, if
  // one is named, and passes on what it throws.
  void run(const std::function<void()>& work, const std::string& folder = {}) const;

 private:
  UniqueFd rules(const std::string& folder) const;

  long version_;  // of Landlock; below 1 where there is none
  std::vector<std::string> read_;
  std::vector<std::string> write_;
};

}  // namespace tessera::worker
