// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "opencl/client/context.h"

namespace tessera::client {

// Runs `what` when every command that is enqueued in the context by now has ended: at once if none
// is left, else on the callback thread. For destructor callbacks, which tell the program that
// nothing of a memory object is in use any more; commands themselves are not counted, because that
// would burden each of them for the few objects that have such callbacks. Outside the handling of
// messages.
void after_commands(Context& context, std::function<void()> what);

}  // namespace tessera::client
