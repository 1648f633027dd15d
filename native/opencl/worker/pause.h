// SPDX-License-Identifier: Apache-2.0
//
// Who may touch a session while it is being suspended.
//
// A suspend happens between two messages: whoever has received one waits here until the session is
// active again. Threads that are in the driver then are of two kinds. Those in a call that ends by
// itself (a build, a wait for a command that can run) are waited for. Those that are *held back*,
// in a wait that only the client can end (for a user event), are not: the suspend makes the driver
// fail what they wait for, their call returns, and they stay here until the resume, after which
// they look their objects up again and wait again. A number that each suspend changes (`epoch`)
// tells them that this has happened.
//
// Refused: waiting for the driver's callbacks instead of in the driver, which could be left at any
// time. Every finish would pay for a callback on another thread. (Where it would not, it is done,
// but for waits that may be held back: session_prompt.cpp.)
//
// The session's lock is held in every function; those that wait give it up meanwhile.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace tessera::worker {

class Pause {
 public:
  explicit Pause(std::mutex& lock) : lock_(lock) {}

  // ---- for threads that handle messages ----
  void wait_until_active() {
    changed_.wait(lock_, [&] { return phase_ == Phase::active || over_; });
  }
  std::uint64_t epoch() const { return epoch_; }

  // A thread that is in the driver without the lock, from construction to destruction.
  class InDriver {
   public:
    explicit InDriver(Pause& pause) : pause_(pause) {}
    InDriver(const InDriver&) = delete;
    InDriver& operator=(const InDriver&) = delete;

    // Whether only the client can end what the thread waits for.
    virtual bool held_back() const { return false; }

   protected:
    ~InDriver() = default;
    // The last and the first that a whole object does.
    void let_lock_go() {
      next_ = pause_.threads_;
      if (next_ != nullptr) next_->before_ = this;
      pause_.threads_ = this;
      pause_.lock_.unlock();
    }
    void take_lock() {
      pause_.lock_.lock();
      (before_ != nullptr ? before_->next_ : pause_.threads_) = next_;
      if (next_ != nullptr) next_->before_ = before_;
      if (pause_.phase_ != Phase::active) pause_.changed_.notify_all();
    }

   private:
    friend class Pause;
    Pause& pause_;
    InDriver* next_ = nullptr;
    InDriver* before_ = nullptr;
  };
  class Working final : public InDriver {
   public:
    explicit Working(Pause& pause) : InDriver(pause) { let_lock_go(); }
    ~Working() { take_lock(); }
  };
  template <class F>
  class Waiting final : public InDriver {
   public:
    Waiting(Pause& pause, const F& held_back) : InDriver(pause), held_back_(held_back) {
      let_lock_go();
    }
    ~Waiting() { take_lock(); }
    bool held_back() const override { return held_back_(); }

   private:
    const F& held_back_;
  };

  // ---- for who suspends ----
  bool active() const { return phase_ == Phase::active; }
  bool suspended() const { return phase_ == Phase::suspended; }
  // No message is handled from here on.
  void stop() { phase_ = Phase::stopping; }
  // Returns when no thread is in the driver but those that are held back.
  void wait_for_working() {
    changed_.wait(lock_, [&] {
      bool none = true;
      for (const InDriver* each = threads_; each != nullptr; each = each->next_) {
        none = none && each->held_back();
      }
      return none || over_;
    });
  }
  // The session's objects go now.
  void begin_epoch() {
    phase_ = Phase::suspended;
    ++epoch_;
  }
  // Returns when no thread is in the driver.
  void wait_for_all() {
    changed_.wait(lock_, [&] { return threads_ == nullptr || over_; });
  }
  void go_on() {
    phase_ = Phase::active;
    changed_.notify_all();
  }
  // The session has ended: nobody waits here any more.
  void end() {
    over_ = true;
    changed_.notify_all();
  }
  bool over() const { return over_; }

 private:
  enum class Phase : std::uint8_t { active, stopping, suspended };

  std::mutex& lock_;
  std::condition_variable_any changed_;
  Phase phase_ = Phase::active;
  bool over_ = false;
  std::uint64_t epoch_ = 0;
  InDriver* threads_ = nullptr;  // a list through the stacks of those threads
};

}  // namespace tessera::worker
