// SPDX-License-Identifier: Apache-2.0
//
// random_programs: programs from seeds, run on the device that the loader finds.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "tests/random/generator.h"
#include "tests/random/reducer.h"
#include "tests/random/runner.h"

namespace tessera::random {
namespace {

constexpr const char* kUsage =
    "usage: random_programs [--seed N] [--count N] [--kinds LIST] [--print] [--reduce]\n"
    "                       [--replay FILE] [--repeat N] [--save FOLDER] [--patience SECONDS]\n"
    "                       [--most N] [--sort WORD]\n"
    "  --seed      the first seed (1)\n"
    "  --count     so many seeds, one program each (1)\n"
    "  --kinds     usual, all, NAME,NAME or -NAME,-NAME; names: see below\n"
    "  --print     print the programs and run nothing\n"
    "  --reduce    of each that fails, also print a smaller one that still does\n"
    "  --replay    run the program in this file instead of those of seeds\n"
    "  --repeat    run each so many times (1); a reduced one 300 times\n"
    "  --save      leave what fails in this folder, one file each, for --replay\n"
    "  --patience  a program that takes longer hangs (30)\n"
    "  --most      stop after so many failures (10)\n"
    "  --sort      count only failures that say this word: differs, printed, returned, hang, ...\n"
    "Ends with 0 if all was right, 1 if not, 2 if it was called wrongly.\n"
    "Kinds: ";

struct Arguments {
  std::uint64_t seed = 1, count = 1, repeat = 1, most = 10;
  int patience = 30;
  std::string kinds = "usual", replay, save, sort;
  bool print = false, reduce = false;
};

[[noreturn]] void usage(int code) {
  std::fprintf(code == 0 ? stdout : stderr, "%s%s\n", kUsage, Kinds::names().c_str());
  std::exit(code);
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    std::optional<std::string> joined;  // --NAME=VALUE
    if (const std::size_t equals = word.find('='); equals != std::string::npos) {
      joined = word.substr(equals + 1);
      word.resize(equals);
    }
    const auto value = [&]() -> std::string {
      if (joined) return *joined;
      if (++i >= argc) usage(2);
      return argv[i];
    };
    if (word == "--seed") {
      a.seed = std::stoull(value());
    } else if (word == "--count") {
      a.count = std::stoull(value());
    } else if (word == "--kinds") {
      a.kinds = value();
    } else if (word == "--print") {
      a.print = true;
    } else if (word == "--reduce") {
      a.reduce = true;
    } else if (word == "--replay") {
      a.replay = value();
    } else if (word == "--repeat") {
      a.repeat = std::stoull(value());
    } else if (word == "--save") {
      a.save = value();
    } else if (word == "--patience") {
      a.patience = std::stoi(value());
    } else if (word == "--sort") {
      a.sort = value();
    } else if (word == "--most") {
      a.most = std::stoull(value());
    } else {
      usage(word == "--help" ? 0 : 2);
    }
  }
  return a;
}

Plan read_plan(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::invalid_argument("Cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return from_text(text.str());
}

class Tester {
 public:
  explicit Tester(const Arguments& a) : a_(a), kinds_(Kinds::parse(a.kinds)) {
    if (!a.replay.empty()) replayed_ = read_plan(a.replay);
  }

  int run() {
    const std::uint64_t programs = a_.replay.empty() ? a_.count : 1;
    if (a_.print) {
      for (std::uint64_t i = 0; i < programs; ++i) std::printf("%s\n", as_code(plan(i)).c_str());
      return 0;
    }
    std::uint64_t failures = 0, ran = 0;
    run_programs(
        programs * a_.repeat, [&](std::uint64_t i) { return plan(i / a_.repeat); }, a_.patience,
        [&](std::uint64_t i, const std::optional<Failure>& failure) {
          ++ran;
          if (!failure || !is_meant(*failure)) return true;
          show(plan(i / a_.repeat), *failure);
          return ++failures < a_.most;
        });
    std::printf("%llu programs, %llu failures\n", static_cast<unsigned long long>(ran),
                static_cast<unsigned long long>(failures));
    return failures == 0 ? 0 : 1;
  }

 private:
  Plan plan(std::uint64_t i) const {
    return a_.replay.empty() ? generate(a_.seed + i, kinds_) : replayed_;
  }

  bool is_meant(const Failure& failure) const {
    return (failure.kind + ": " + failure.text).find(a_.sort) != std::string::npos;
  }

  void show(const Plan& failed, const Failure& failure) {
    std::printf("FAILED seed %llu: %s\n%s%s", static_cast<unsigned long long>(failed.seed),
                failure.kind.c_str(), as_code(failed).c_str(), failure.text.c_str());
    if (failure.text.empty() || failure.text.back() != '\n') std::printf("\n");
    std::string path = save(failed, failure, "");
    if (a_.reduce) {
      Failure last = failure;
      const Plan smaller =
          reduce(failed, kinds_, [&](const Plan& candidate) { return fails(candidate, last); });
      std::printf("REDUCED:\n%s%s: %s\n", as_code(smaller).c_str(), last.kind.c_str(),
                  last.text.c_str());
      path = save(smaller, last, "-reduced");
    }
    if (path.empty()) {
      std::printf("Again: random_programs --seed %llu --kinds %s --repeat 300\n\n",
                  static_cast<unsigned long long>(failed.seed), a_.kinds.c_str());
    } else {
      std::printf("Again: random_programs --replay %s --repeat 300\n\n", path.c_str());
    }
    std::fflush(stdout);
  }

  bool fails(const Plan& candidate, Failure& last) const {
    bool failed = false;
    const std::string sort = sort_of(last);
    run_programs(
        std::max<std::uint64_t>(a_.repeat, 300), [&](std::uint64_t) { return candidate; },
        std::min(a_.patience, 5),
        [&](std::uint64_t, const std::optional<Failure>& failure) {
          if (failure && is_meant(*failure) && (!a_.sort.empty() || sort_of(*failure) == sort)) {
            failed = true, last = *failure;
          }
          return !failed;
        });
    return failed;
  }

  // Without a folder a reduced program is left in the working one: it has no seed.
  std::string save(const Plan& plan, const Failure& failure, const std::string& end) const {
    if (a_.save.empty() && end.empty()) return "";
    const std::string folder = a_.save.empty() ? "." : a_.save;
    const std::string path = folder + "/seed-" + std::to_string(plan.seed) + end + ".txt";
    std::ofstream file(path);
    std::istringstream lines(failure.kind + ": " + failure.text + as_code(plan));
    for (std::string line; std::getline(lines, line);) file << "# " << line << "\n";
    file << to_text(plan);
    if (!file.flush()) throw std::runtime_error("Cannot write " + path);
    return path;
  }

  const Arguments& a_;
  Kinds kinds_;
  Plan replayed_;
};

}  // namespace
}  // namespace tessera::random

int main(int argc, char** argv) {
  using namespace tessera::random;
  try {
    const Arguments arguments = parse(argc, argv);
    return Tester(arguments).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "random_programs: %s\n", error.what());
    return 2;
  }
}
