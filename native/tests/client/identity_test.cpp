// SPDX-License-Identifier: Apache-2.0
//
// What a platform calls itself, and that a session believes no text of a worker that a program
// could not read.
#include "opencl/client/identity.h"

#include <CL/cl_ext.h>
#include <stdlib.h>

#include <string>
#include <thread>
#include <vector>

#include "channel_pair.h"
#include "check.h"
#include "generated/messages_session.h"
#include "opencl/client/session.h"

namespace tessera::test {
namespace {

using client::Identity;
using client::platform_identity;
using client::PlatformTexts;

const PlatformTexts kPocl{"Portable Computing Language", "The pocl project",
                          "OpenCL 3.0 PoCL 3.1  Linux"};

std::string shown_version(const char* behind) {
  return platform_identity(Identity::device, {"a", "b", behind}).version;
}

void a_lease_is_named_tessera() {
  for (const auto& behind : {kPocl, PlatformTexts()}) {
    const auto own = platform_identity(Identity::tessera, behind);
    CHECK(own.name == "Tessera" && own.vendor == "Tessera");
    CHECK(own.version.starts_with("OpenCL 3.0 Tessera "));
    CHECK(own.numeric_version == CL_MAKE_VERSION(3, 0, 0));
  }
}

void a_lease_may_be_named_as_its_device_is() {
  const auto lent = platform_identity(Identity::device, kPocl);
  CHECK(lent.name == kPocl.name && lent.vendor == kPocl.vendor && lent.version == kPocl.version);
  CHECK(lent.numeric_version == CL_MAKE_VERSION(3, 0, 0));
}

void no_newer_version_is_shown_than_this_drivers() {
  CHECK(shown_version("OpenCL 3.1 Maker 7") == "OpenCL 3.0 Maker 7");
  CHECK(shown_version("OpenCL 10.0 Maker 7") == "OpenCL 3.0 Maker 7");
  CHECK(shown_version("OpenCL 3.0") == "OpenCL 3.0");
  CHECK(shown_version("OpenCL 1.2 Maker 7") == "OpenCL 1.2 Maker 7");
  const auto old = platform_identity(Identity::device, {"a", "b", "OpenCL 1.2 Maker 7"});
  CHECK(old.numeric_version == CL_MAKE_VERSION(1, 2, 0));
}

void what_the_driver_does_not_tell_stays_tesseras() {
  const auto nameless = platform_identity(Identity::device, PlatformTexts());
  CHECK(nameless.name == "Tessera" && nameless.vendor == "Tessera");
  for (const char* ill_formed :
       {"", "3.0", "OpenCL", "OpenCL ", "OpenCL x.y", "OpenCL 3", "OpenCL 3.", "OpenCL 3.x",
        "OpenCL -3.0 x", "OpenCL 3.0x", "OpenCL 3333.0 x"}) {
    CHECK(shown_version(ill_formed).starts_with("OpenCL 3.0 Tessera "));
  }
}

void the_environment_chooses() {
  ::unsetenv("TESSERA_IDENTITY");
  CHECK(client::wanted_identity() == Identity::tessera);
  for (const auto& [text, identity] : {std::pair{"tessera", Identity::tessera},
                                       {"device", Identity::device},
                                       {"", Identity::tessera},
                                       {"Device", Identity::tessera},
                                       {"pigeon", Identity::tessera}}) {
    ::setenv("TESSERA_IDENTITY", text, 1);
    CHECK(client::wanted_identity() == identity);
  }
}

// What a session knows of the platform after a worker has sent these texts, or why it does not
// open.
client::Snapshot opened_with(const std::vector<wire::PlatformSnapshot>& platforms) {
  Pair pair = make_pair(TransportKind::shm);
  std::thread worker([&] {
    Incoming question;
    must_receive(*pair.worker, question);
    const auto send = [&](const auto& message) {
      wire::Encoder out;
      encode(out, message);
      pair.worker->send(static_cast<std::uint16_t>(message.kOpcode), out.bytes(), Bulk());
    };
    wire::Reply reply;
    reply.of = question.sequence;
    try {
      for (const auto& platform : platforms) send(platform);
      send(wire::DeviceSnapshot());
      send(reply);
      pair.worker->flush();
    } catch (const ChannelClosed&) {
      // The client has heard enough.
    }
  });
  client::Session session(std::move(pair.client));
  try {
    client::Snapshot snapshot = session.open();
    worker.join();
    return snapshot;
  } catch (const ConnectError&) {
    worker.join();
    throw;
  }
}

wire::PlatformSnapshot named(std::string_view name) {
  wire::PlatformSnapshot message;
  message.name = name;
  return message;
}

void a_session_takes_what_a_program_can_read() {
  const std::string longest(PlatformTexts::kLongest, 'x');
  CHECK(opened_with({named(longest)}).platform->name == longest);
  CHECK(!opened_with({}).platform.has_value());
  CHECK_THROWS(opened_with({named(longest + "x")}), ConnectError);
  CHECK_THROWS(opened_with({named(std::string_view("a\0b", 3))}), ConnectError);
  CHECK_THROWS(opened_with({named("a"), named("a")}), ConnectError);
}

}  // namespace
}  // namespace tessera::test

int main() {
  using namespace tessera::test;
  a_lease_is_named_tessera();
  a_lease_may_be_named_as_its_device_is();
  no_newer_version_is_shown_than_this_drivers();
  what_the_driver_does_not_tell_stays_tesseras();
  the_environment_chooses();
  a_session_takes_what_a_program_can_read();
  return 0;
}
