// SPDX-License-Identifier: Apache-2.0
//
// What a test program needs and no more: a failed CHECK says where and ends the program.
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                              \
  do {                                                                                \
    if (!(condition)) {                                                               \
      ::fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      ::abort();                                                                      \
    }                                                                                 \
  } while (false)

#define CHECK_THROWS(statement, Error)                                                           \
  do {                                                                                           \
    bool thrown = false;                                                                         \
    try {                                                                                        \
      statement;                                                                                 \
    } catch (const Error&) {                                                                     \
      thrown = true;                                                                             \
    }                                                                                            \
    if (!thrown) {                                                                               \
      ::fprintf(stderr, "%s:%d: %s did not throw %s\n", __FILE__, __LINE__, #statement, #Error); \
      ::abort();                                                                                 \
    }                                                                                            \
  } while (false)
