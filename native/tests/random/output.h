// SPDX-License-Identifier: Apache-2.0
//
// The standard output of this process, as a file that can be measured: what kernels print.
#pragma once

#include <cstddef>
#include <string>

namespace tessera::random {

class Output {
 public:
  Output();  // puts the file in the place of descriptor 1
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  std::size_t size() const;
  std::string text() const;
  void clear();

 private:
  int file_;
};

}  // namespace tessera::random
