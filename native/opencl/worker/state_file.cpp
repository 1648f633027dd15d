// SPDX-License-Identifier: Apache-2.0
#include "opencl/worker/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error_text.h"
#include "opencl/worker/checksum.h"
#include "wire/codec.h"

namespace tessera::worker {
namespace {

constexpr std::uint64_t kMagic = 0x4554415453525354;  // "TSRSTATE" in memory order
constexpr std::size_t kAlignment = 8;                 // bytes
constexpr std::uint64_t kHandOn = 32 * 1024 * 1024;   // bytes, written out together

struct Preamble {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t zero;
};

struct Head {
  std::uint32_t type;
  std::uint32_t flags;
  std::uint32_t opcode;
  std::uint32_t zero;
  std::uint64_t fields;  // bytes
  std::uint64_t bulk;    // bytes
  std::uint32_t body;    // checksum of both, with their padding
  std::uint32_t head;    // checksum of the frame's number and of all before this word
};
static_assert(sizeof(Preamble) == 16 && sizeof(Head) == 40);

[[noreturn]] void fail(const std::string& what) {
  throw StateError(state_error::kFailed, what + ": " + error_text(errno));
}

std::uint64_t padded(std::uint64_t bytes) {
  return (bytes + kAlignment - 1) & ~(kAlignment - 1);
}

std::uint32_t head_sum(const Head& head, std::uint64_t number) {
  const auto bytes = std::as_bytes(std::span(&head, 1)).first(offsetof(Head, head));
  return crc32c(bytes, crc32c(std::as_bytes(std::span(&number, 1))));
}

}  // namespace

void damaged(const std::string& what) {
  throw StateError(state_error::kDamaged, "the saved state is damaged: " + what);
}

StateWriter::StateWriter(int fd) : fd_(fd) {
  const Preamble preamble{kMagic, kStateVersion, 0};
  put(std::as_bytes(std::span(&preamble, 1)));
}

void StateWriter::put(std::span<const std::byte> bytes) {
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("writing the state");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  // The disk works while the next bytes are fetched from the device, not only when all are there.
  // In memory there is no disk, and the call fails to no harm.
  if (bytes_ - handed_on_ < kHandOn) return;
  ::sync_file_range(fd_, static_cast<off_t>(handed_on_), static_cast<off_t>(bytes_ - handed_on_),
                    SYNC_FILE_RANGE_WRITE);
  handed_on_ = bytes_;
}

void StateWriter::write(const Frame& frame) {
  static constexpr std::array<std::byte, kAlignment> kZeros{};
  const auto padding = [](std::span<const std::byte> bytes) {
    return std::span(kZeros).first(padded(bytes.size()) - bytes.size());
  };
  Head head{static_cast<std::uint32_t>(frame.type),
            frame.flags,
            frame.opcode,
            0,
            frame.fields.size(),
            frame.bulk.size(),
            0,
            0};
  // Head and fields are small, the bulk may be large and goes out from where it lies.
  small_.assign(sizeof head, std::byte{0});
  small_.insert(small_.end(), frame.fields.begin(), frame.fields.end());
  small_.resize(sizeof head + padded(frame.fields.size()));
  head.body = crc32c(std::span(small_).subspan(sizeof head));
  head.body = crc32c(padding(frame.bulk), crc32c(frame.bulk, head.body));
  head.head = head_sum(head, frames_++);
  std::memcpy(small_.data(), &head, sizeof head);
  put(small_);
  put(frame.bulk);
  put(padding(frame.bulk));
}

void StateWriter::finish() {
  const std::uint64_t count = frames_;
  write({.type = FrameType::trailer, .fields = std::as_bytes(std::span(&count, 1))});
}

StateReader::StateReader(int fd) : fd_(fd) {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) damaged(error_text(errno));
  size_ = static_cast<std::uint64_t>(facts.st_size);
  Preamble preamble{};
  get(std::as_writable_bytes(std::span(&preamble, 1)));
  if (preamble.magic != kMagic) damaged("it is no state of a session");
  if (preamble.version != kStateVersion) {
    throw StateError(state_error::kOtherVersion,
                     "the saved state has format " + std::to_string(preamble.version) +
                         ", this version of Tessera reads format " + std::to_string(kStateVersion));
  }
  if (preamble.zero != 0) damaged("its preamble was changed");
}

void StateReader::get(std::span<std::byte> into) {
  if (into.size() > size_ - std::min(at_, size_)) damaged("it was cut short");
  while (!into.empty()) {
    const ssize_t got = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(at_));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) damaged(error_text(errno));
    if (got == 0) damaged("it was cut short");
    at_ += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
}

bool StateReader::next(Frame& frame) {
  Head head{};
  get(std::as_writable_bytes(std::span(&head, 1)));
  const std::string where = "frame " + std::to_string(frames_);
  if (head.head != head_sum(head, frames_)) damaged(where + " was changed");
  if (head.type < 1 || head.type > static_cast<std::uint32_t>(FrameType::trailer) ||
      head.fields > wire::kMaxMessageFields || head.bulk > wire::kMaxMessageBulk ||
      head.zero != 0) {
    damaged(where + " makes no sense");
  }
  const std::uint64_t fields = padded(head.fields);
  const std::size_t length = fields + padded(head.bulk);
  if (length > size_ - std::min(at_, size_)) damaged("it was cut short");
  std::swap(bodies_[0], bodies_[1]);
  if (length > bodies_[0].capacity)
    bodies_[0] = {std::unique_ptr<std::byte[]>(new std::byte[length]), length};
  const std::span<std::byte> body(bodies_[0].bytes.get(), length);
  get(body);
  if (head.body != crc32c(body)) damaged(where + " was changed");
  frame.type = static_cast<FrameType>(head.type);
  frame.flags = head.flags;
  frame.opcode = head.opcode;
  frame.fields = body.first(head.fields);
  frame.bulk = body.subspan(fields, head.bulk);
  if (frame.type != FrameType::trailer) {
    ++frames_;
    return true;
  }
  std::uint64_t count = 0;
  if (head.fields != sizeof count || head.bulk != 0) damaged("its trailer makes no sense");
  std::memcpy(&count, frame.fields.data(), sizeof count);
  if (count != frames_ || at_ != size_) damaged("it does not end with its trailer");
  return false;
}

NewStateFile::NewStateFile(const std::string& path)
    : path_(path),
      temporary_(path + ".part"),
      fd_(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)) {
  if (!fd_) fail("creating " + temporary_);
}

NewStateFile::~NewStateFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void NewStateFile::keep() {
  if (::fsync(fd_.get()) != 0) fail("making " + temporary_ + " durable");
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("renaming " + temporary_);
  temporary_.clear();
  // The new name is durable when its folder is.
  const auto folder = std::filesystem::path(path_).parent_path();
  const UniqueFd parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent || ::fsync(parent.get()) != 0) {
    const int error = errno;
    ::unlink(path_.c_str());
    errno = error;
    fail("making the name " + path_ + " durable");
  }
}

UniqueFd open_state(const SavedState& state) {
  if (state.path.empty()) return UniqueFd(::fcntl(state.memory.get(), F_DUPFD_CLOEXEC, 0));
  UniqueFd fd(::open(state.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) damaged(state.path + ": " + error_text(errno));
  return fd;
}

}  // namespace tessera::worker
