// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CL/cl.h>

#include <cstdint>
#include "opencl/worker/answer.h"

namespace tessera::worker {

// Sends what the platform calls itself; what the driver does not tell is empty.
void send_platform_snapshot(Answers& answers, cl_platform_id platform);
// Sends every fact that the driver tells of a device, so that no query of the client costs a round
// trip. What a session does not carry (device queues, pipes, SVM of the whole system) reads as
// absent.
void send_device_snapshot(Answers& answers, std::uint32_t number, cl_device_id device,
                          std::uint64_t limit);
// Sends those facts of a part of `device` that differ from what is told of `device`.
void send_sub_device_facts(Answers& answers, wire::Id partition, std::uint32_t place,
                           cl_device_id device, cl_device_id sub_device);
// Sends the image formats of each image type and use; nothing for a device without images.
void send_image_formats(Answers& answers, cl_platform_id platform, cl_device_id device);

}  // namespace tessera::worker
