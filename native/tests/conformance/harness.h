// SPDX-License-Identifier: Apache-2.0
//
// Cases of the conformance program: how they are declared, how they fail.
//
// A case is named ENTRY_POINT.WHAT and either uses the entry point rightly (USE) or hands it
// something that the standard refuses and compares the error (FAULT). The program counts both for
// every entry point of the dispatch table, so none can be forgotten.
//
// Faults that concern the handle itself go through the driver's own dispatch table (TABLE_FAULT): a
// loader answers a NULL handle by itself, and the driver would never be asked.
//
// A suite from a test framework was refused: the same binary has to run unchanged against any
// driver, survive that driver's crashes, and report every case by name for the comparison of two
// runs.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/conformance/opencl_api.h"

namespace tessera::conformance {

struct World;

enum class Kind { use, fault };

// `isolated`: gets a process of its own, because it leaves the process in a state others should not
// see.
struct Case {
  std::string entry;
  std::string what;
  Kind kind;
  bool isolated;
  std::function<void(World&)> run;
  std::string name() const { return entry + "." + what; }
};

std::vector<Case>& cases();

class Failure : public std::runtime_error {
 public:
  Failure(const std::string& got, const std::string& want, const std::string& where)
      : std::runtime_error("got " + got + " want " + want + " (" + where + ")") {}
};

class Skip : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Why a case is not demanded of the bare device, or nullptr.
const char* bare_deviation(const std::string& case_name);

std::string code_name(cl_int code);

// The codes that the standard allows; most often one.
struct Want {
  std::vector<cl_int> codes;
  Want(cl_int code) : codes{code} {}
  Want(std::initializer_list<cl_int> list) : codes(list) {}
  bool has(cl_int code) const;
  std::string text() const;
};

struct Register {
  Register(const char* entry, const char* what, Kind kind, bool isolated,
           std::function<void(World&)> run) {
    cases().push_back({entry, what, kind, isolated, std::move(run)});
  }
};

template <class A>
std::string shown(const A& value) {
  if constexpr (std::is_same_v<A, std::string>) {
    return "'" + value + "'";
  } else if constexpr (std::is_pointer_v<A>) {
    return value == nullptr ? "NULL" : "a pointer";
  } else if constexpr (std::is_enum_v<A>) {
    return std::to_string(static_cast<long long>(value));
  } else {
    return std::to_string(value);
  }
}

void require_code(cl_int got, const Want& want, const char* text, const char* file, int line);

// "TEXT at FILE:LINE", with the file's own name only.
std::string place(const char* text, const char* file, int line);

template <class A, class B>
void require_same(const A& got, const B& want, const char* text, const char* file, int line) {
  if (!(got == static_cast<A>(want))) {
    throw Failure(shown(got), shown(static_cast<A>(want)), place(text, file, line));
  }
}

void require(bool holds, const char* text, const char* file, int line);

// What a FAULT returns for an entry that the driver's table does not have.
void require_entry(const World& world, bool present, const char* entry);

// The code of a call that creates an object: an error together with an object is a fault of its
// own. By reference: the call that fills `code` is evaluated among the arguments.
template <class T>
cl_int creation_code(T object, const cl_int& code) {
  if (object != nullptr && code != CL_SUCCESS) {
    throw Failure("an object together with " + code_name(code), "no object", "creation");
  }
  if (object == nullptr && code == CL_SUCCESS) {
    throw Failure("CL_SUCCESS without an object", "an object", "creation");
  }
  return code;
}

}  // namespace tessera::conformance

#define OK(expr) ::tessera::conformance::require_code((expr), CL_SUCCESS, #expr, __FILE__, __LINE__)
#define CODE(expr, ...) \
  ::tessera::conformance::require_code((expr), __VA_ARGS__, #expr, __FILE__, __LINE__)
#define SAME(got, want) \
  ::tessera::conformance::require_same((got), (want), #got, __FILE__, __LINE__)
#define THAT(expr) ::tessera::conformance::require((expr), #expr, __FILE__, __LINE__)

#define TESSERA_CASE(entry, what, kind, isolated)                                   \
  static void entry##_##what(::tessera::conformance::World& w);                     \
  static const ::tessera::conformance::Register register_##entry##_##what{          \
      #entry, #what, ::tessera::conformance::Kind::kind, isolated, entry##_##what}; \
  static void entry##_##what([[maybe_unused]] ::tessera::conformance::World& w)

#define USE(entry, what) TESSERA_CASE(entry, what, use, false)
#define USE_ALONE(entry, what) TESSERA_CASE(entry, what, use, true)
#define FAULT_BODY(entry, what) TESSERA_CASE(entry, what, fault, false)

#define ANY(...) (::tessera::conformance::Want{__VA_ARGS__})

// A call that returns its code; `args` is the whole argument list in parentheses.
#define FAULT(entry, what, want, args)      \
  TESSERA_CASE(entry, what, fault, false) { \
    CODE(::entry args, want);               \
  }

// The same through the driver's own table.
#define TABLE_FAULT(entry, what, want, args)                                     \
  TESSERA_CASE(entry, what, fault, false) {                                      \
    ::tessera::conformance::require_entry(w, w.table->entry != nullptr, #entry); \
    CODE(w.table->entry args, want);                                             \
  }

// A call that creates an object and reports through `&e`.
#define FAULT_NEW(entry, what, want, args)                      \
  TESSERA_CASE(entry, what, fault, false) {                     \
    cl_int e = 1;                                               \
    auto made = ::entry args;                                   \
    CODE(::tessera::conformance::creation_code(made, e), want); \
  }

#define TABLE_FAULT_NEW(entry, what, want, args)                                 \
  TESSERA_CASE(entry, what, fault, false) {                                      \
    ::tessera::conformance::require_entry(w, w.table->entry != nullptr, #entry); \
    cl_int e = 1;                                                                \
    auto made = w.table->entry args;                                             \
    CODE(::tessera::conformance::creation_code(made, e), want);                  \
  }
