// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace tessera::guest {

// Where the program finds its driver and the socket of its lease. The folder lies in the guest's
// memory and covers whatever the image has there.
inline constexpr const char* kTesseraFolder = "/run/tessera";

// Devices, for what is done before there is a root. Throws std::system_error.
void mount_devices();

// Makes the image on `disk` (a squashfs) the root of this process: what is written goes to memory
// and is gone at the end. `folder`, of the first root, appears as kTesseraFolder.
// Throws std::system_error.
void enter_image(const char* disk, const char* folder);

// The disks behind the image's, in order, at these places of the image; all are read-only.
// Throws std::system_error.
void mount_shares(const std::vector<std::string>& places);

// The loopback interface, which programs use to talk to themselves. Throws std::system_error.
void raise_loopback();

}  // namespace tessera::guest
