// SPDX-License-Identifier: Apache-2.0
//
// What the lease's one platform calls itself.
//
// Programs choose code paths, work-arounds and work-group sizes by a platform's name or vendor, and
// some parse what stands behind the version. `tessera run --identity device` lets them choose as on
// the bare device: name, vendor and version are then those of the platform that the lease's first
// device belongs to. Nothing else changes: extensions, functions, memory, and the suffix of
// extension functions, which names this driver's own, are the lease's under either name.
//
// Lending the vendor alone was refused: programs look at the name first, at the vendor next, and
// take a mixture of both for a driver that does not exist.
//
// The choice comes as TESSERA_IDENTITY. A program may set it otherwise; nobody is protected by it.
#pragma once

#include <CL/cl.h>

#include <cstddef>
#include <string>

namespace tessera::client {

enum class Identity { tessera, device };

// By TESSERA_IDENTITY=tessera|device; Tessera's own where it is not set. Says so on stderr if it is
// anything else.
Identity wanted_identity();

// CL_PLATFORM_NAME, _VENDOR and _VERSION of the platform behind a lease; empty where its driver did
// not tell.
struct PlatformTexts {
  static constexpr std::size_t kLongest = 1024;  // bytes of each
  std::string name;
  std::string vendor;
  std::string version;
};

struct PlatformIdentity {
  std::string name;
  std::string vendor;
  std::string version;
  cl_version numeric_version;
};

// What the platform shows under `identity`, if `behind` is the one behind it. A version of the API
// that is newer than this driver's is shown as this driver's; what does not have the standard's
// form
// ("OpenCL MAJOR.MINOR TEXT"), and what is empty, is replaced by Tessera's own.
PlatformIdentity platform_identity(Identity identity, const PlatformTexts& behind);

}  // namespace tessera::client
