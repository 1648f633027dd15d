// SPDX-License-Identifier: Apache-2.0
//
// Programs from seeds. A step is proposed without order; what it would race with is then ordered in
// one of the ways that the standard has (an event, a wait of the host, a finish, a marker, another
// thread), each as likely as the others. Where nothing has to be added the order comes from what is
// there already, such as an earlier blocking call on another queue, which is the case that
// implementations get wrong.
#pragma once

#include "tests/random/program.h"

namespace tessera::random {

Plan generate(std::uint64_t seed, const Kinds& kinds);

}  // namespace tessera::random
