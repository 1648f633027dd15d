// SPDX-License-Identifier: Apache-2.0
//
// How a program's own headers come to the compiler.
//
// A compiler runs in the worker, which may be another user's process, in another container or on
// another host, and must not open what a client names. So the client looks for the files that its
// source includes, opens them itself, and ships their texts with the build (include_scan.h,
// shipped_headers.h of the client). In a shipped text each name of a found file stands for a
// number; the worker writes the files under these numbers into a folder of its own and puts their
// paths into the names' places (header_texts.h, header_folder.h of the worker).
//
// On the wire all texts lie one behind the other, cut into parts. After a part comes the path of
// the file with the part's number; 0 is none, as at the end of a text. The first text is the
// program's source, then come those of a compilation's header programs, then the files, numbered
// from 1. No text at all: nothing is included, and the source stands as it was made.
//
// Refused: inlining the files, because a file may include itself and `#pragma once` is about files;
// a tree that mirrors the client's folders, because absolute names and `../` leave it; a folder for
// -I, because drivers differ in how they read a path with blanks.
#pragma once

#include <cstddef>

namespace tessera {

inline constexpr std::size_t kMaxShippedFiles = 2048;
// Of all texts of a build: a message has no room to list more.
inline constexpr std::size_t kMaxShippedParts = 6144;

}  // namespace tessera
