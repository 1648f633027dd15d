// SPDX-License-Identifier: Apache-2.0
#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>

#include "tests/conformance/deviations.h"
#include "tests/conformance/facts.h"
#include "tests/conformance/runner.h"

namespace tessera::conformance {

std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}

namespace {

constexpr const char* kUsage =
    "usage: tessera-conformance [--list | --entry-points | --facts | --table] [--filter PATTERN] "
    "[--json]\n"
    "                           [--deviations] [--timeout SECONDS]\n"
    "  --list          the names of the cases\n"
    "  --entry-points  every entry point with its number of right uses and of faults\n"
    "  --facts         what the first device says of itself, as JSON\n"
    "  --table         what the bare device is known to get wrong\n"
    "  --filter        only cases whose name matches this shell pattern\n"
    "  --deviations    also run what the bare device is known to get wrong\n"
    "  --json          results as one JSON document instead of lines\n";

struct Arguments {
  RunOptions run;
  bool list = false, json = false, entry_points = false, facts = false, table = false;
  bool child = false;
  std::size_t first = 0;
  int report_fd = -1;
};

[[noreturn]] void usage(int code) {
  std::fputs(kUsage, code == 0 ? stdout : stderr);
  std::exit(code);
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  a.run.self = "/proc/self/exe";
  const auto value = [&](int& i) -> const char* {
    if (++i >= argc) usage(2);
    return argv[i];
  };
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--list")
      a.list = true;
    else if (word == "--json")
      a.json = true;
    else if (word == "--entry-points")
      a.entry_points = true;
    else if (word == "--facts")
      a.facts = true;
    else if (word == "--table")
      a.table = true;
    else if (word == "--deviations")
      a.run.deviations = true;
    else if (word == "--filter")
      a.run.filter = value(i);
    else if (word == "--timeout")
      a.run.seconds_per_case = std::atoi(value(i));
    else if (word == "--child")
      a.child = true, a.first = std::strtoul(value(i), nullptr, 10);
    else if (word == "--report-fd")
      a.report_fd = std::atoi(value(i));
    else if (word == "--help")
      usage(0);
    else
      usage(2);
  }
  return a;
}

std::vector<const Case*> selected(const std::string& filter) {
  std::vector<const Case*> order;
  for (const Case& one : cases()) {
    if (filter.empty() || ::fnmatch(filter.c_str(), one.name().c_str(), 0) == 0) {
      order.push_back(&one);
    }
  }
  std::sort(order.begin(), order.end(),
            [](const Case* a, const Case* b) { return a->name() < b->name(); });
  return order;
}

void print_entry_points() {
  std::map<std::string, std::pair<int, int>> counts;
  for (const Case& one : cases()) {
    auto& [uses, faults] = counts[one.entry];
    (one.kind == Kind::use ? uses : faults) += 1;
  }
  for (const auto& [entry, count] : counts) {
    std::printf("%s use=%d fault=%d\n", entry.c_str(), count.first, count.second);
  }
}

struct Totals {
  int passed = 0, failed = 0, skipped = 0;
};

void print_line(const Result& r) {
  if (r.outcome == Outcome::ok) std::printf("ok %s\n", r.name.c_str());
  if (r.outcome == Outcome::fail) std::printf("FAIL %s %s\n", r.name.c_str(), r.detail.c_str());
  if (r.outcome == Outcome::skip) std::printf("skip %s %s\n", r.name.c_str(), r.detail.c_str());
  std::fflush(stdout);
}

void print_json(const std::vector<Result>& results, const Totals& totals) {
  std::printf("{\"passed\":%d,\"failed\":%d,\"skipped\":%d,\"cases\":[", totals.passed,
              totals.failed, totals.skipped);
  const char* comma = "";
  for (const Result& r : results) {
    const char* outcome = r.outcome == Outcome::ok     ? "ok"
                          : r.outcome == Outcome::fail ? "fail"
                                                       : "skip";
    std::printf("%s\n{\"name\":%s,\"outcome\":\"%s\",\"detail\":%s}", comma,
                json_text(r.name).c_str(), outcome, json_text(r.detail).c_str());
    comma = ",";
  }
  std::printf("\n]}\n");
}

int run_all(const Arguments& a) {
  const auto order = selected(a.run.filter);
  if (order.empty()) {
    std::fprintf(stderr, "tessera-conformance: no case matches '%s'; see --list\n",
                 a.run.filter.c_str());
    return 2;
  }
  Totals totals;
  std::vector<Result> results;
  supervise(order, a.run, [&](const Result& r) {
    (r.outcome == Outcome::ok     ? totals.passed
     : r.outcome == Outcome::fail ? totals.failed
                                  : totals.skipped) += 1;
    if (a.json)
      results.push_back(r);
    else
      print_line(r);
  });
  if (a.json)
    print_json(results, totals);
  else
    std::printf("%d passed, %d failed, %d skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed == 0 ? 0 : 1;
}

int dispatch(const Arguments& a) {
  if (a.child) return run_child(selected(a.run.filter), a.first, a.report_fd, a.run.deviations);
  if (a.entry_points) return print_entry_points(), 0;
  if (a.facts) return print_facts(), 0;
  if (a.table) {
    for (const auto& [name, reason] : deviations()) std::printf("%s: %s\n", name.c_str(), reason);
    return 0;
  }
  if (a.list) {
    for (const Case* one : selected(a.run.filter)) std::printf("%s\n", one->name().c_str());
    return 0;
  }
  return run_all(a);
}

}  // namespace
}  // namespace tessera::conformance

int main(int argc, char** argv) {
  try {
    return tessera::conformance::dispatch(tessera::conformance::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tessera-conformance: %s\n", error.what());
    return 1;
  }
}
