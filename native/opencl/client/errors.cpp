// SPDX-License-Identifier: Apache-2.0
#include "opencl/client/errors.h"

#include <new>
#include <system_error>

#include "transport/channel.h"
#include "wire/codec.h"

namespace tessera::client {

cl_int current_error() noexcept {
  try {
    throw;
  } catch (const ApiError& error) {
    return error.code();
  } catch (const ChannelClosed&) {
    return CL_OUT_OF_RESOURCES;
  } catch (const ConnectError&) {
    return CL_OUT_OF_RESOURCES;
  } catch (...) {
    // wire::TooLong, std::bad_alloc, a thread that could not be started: this side's means are at
    // an end.
    return CL_OUT_OF_HOST_MEMORY;
  }
}

}  // namespace tessera::client
