// SPDX-License-Identifier: Apache-2.0
//
// Writes a session as messages.
//
// The records of the session, in an order in which they can be replayed: what made each object, in
// the order in which the objects were made; contents; user events and events that have ended; the
// commands that cannot run, with their kernels' arguments as they were; arguments as they are now.
// An object that the client released but something else still needs (a program by its kernel, a
// buffer by a blocked command) is a *ghost*: it is made under its old id, and released at the end.
//
// What cannot be told in messages is refused by name before anything is written: shared virtual
// memory, because its addresses lie in the client's and in the kernels' memory and no driver can be
// asked for an address; variables of programs that have run, whose values no driver gives out; and
// what a limit of the session kept out of the records.
//
// The session's lock is held, and nothing runs on the device.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "opencl/worker/object_table.h"
#include "opencl/worker/state.h"
#include "opencl/worker/state_file.h"
#include "opencl/worker/state_frames.h"

namespace tessera::worker {

class Session;

class Saver {
 public:
  // Throws StateError(SuspendUnsupported).
  explicit Saver(Session& session);
  const StateNeeds& needs() const { return needs_; }
  // Throws StateError(SuspendFailed).
  void write(StateWriter& out, const std::string& lease);

 private:
  // A message of an object's making, with its place.
  struct Making {
    Record record;
    std::uint32_t flags = 0;
  };

  void collect();
  void add(const std::shared_ptr<Entry>& entry);
  void add_needed_by(Entry& entry);
  void check(const Entry& entry);
  void plan(const Entry& entry);
  void plan_program(const ProgramEntry& program);
  void plan_build(const ProgramEntry& program, const Build& build, std::uint32_t flags);
  void plan_kernel(const KernelEntry& kernel);
  void plan_command_buffer(const CommandBufferEntry& buffer);

  void write_header(const std::string& lease);
  void write_makings();
  void write_contents();
  void write_contents(const MemEntry& mem);
  void write_piece(const ContentsPlace& place, std::span<const std::byte> bytes);
  void write_poisoned(const Entry& entry);
  void write_events();
  void write_ended(const EventEntry& event, cl_int status);
  void write_pending();
  void write_blocked();
  void write_arguments(const KernelEntry& kernel,
                       const std::vector<KernelEntry::Argument>& arguments);
  void write_ghosts();

  void message(const Record& record, std::uint32_t flags = 0);
  template <class Message>
  void message(const Message& message);
  template <class Fields>
  void frame(FrameType type, const Fields& fields, std::span<const std::byte> bulk = {});

  Session& session_;
  StateWriter* out_ = nullptr;
  StateNeeds needs_;
  std::map<Id, std::shared_ptr<Entry>> entries_;
  std::vector<std::shared_ptr<Entry>> unseen_;
  std::vector<Id> ghosts_;
  std::map<Id, std::uint64_t> headers_;              // serials by ids
  std::multimap<std::uint64_t, Making> partitions_;  // of devices, by serial
  std::multimap<std::uint64_t, Making> makings_;     // of all else, by serial
  std::array<std::uint64_t, kMaxGpus> charged_{};
  std::array<std::unique_ptr<std::byte[]>, 2> staging_;  // by turns
};

}  // namespace tessera::worker
