// SPDX-License-Identifier: Apache-2.0
//
// The folder in which a compiler finds the files that a client has shipped.
//
// Drivers keep what they compiled under a sum of source and options, and some of them never look
// at the files that a source includes. So the folder is called by its contents: the same build has
// the same names next time, in whichever session, and others have others. Two sessions that build
// the same at once share it.
//
// Whoever uses a folder holds a shared lock of it; the last one, who gets the lock alone, moves it
// away and removes it. A folder comes into its place complete, by a rename. What a killed worker
// left behind is removed by the next one that needs a folder.
//
// It lies in the user's runtime folder, or else in memory that all share (/dev/shm), in a folder
// that is this user's only. No name of the client becomes a path.
#pragma once

#include <string>

#include "base/unique_fd.h"
#include "opencl/worker/header_texts.h"

namespace tessera::worker {

class HeaderFolder {
 public:
  // Throws std::system_error where there is no place for it.
  explicit HeaderFolder(const HeaderTexts& texts);
  // Below another folder than the user's.
  HeaderFolder(const HeaderTexts& texts, std::string base);
  HeaderFolder(const HeaderFolder&) = delete;
  HeaderFolder& operator=(const HeaderFolder&) = delete;
  ~HeaderFolder();

  const std::string& path() const { return path_; }

 private:
  bool share();
  bool make(const HeaderTexts& texts);
  void remove_left_over() const;

  std::string base_;
  std::string path_;
  UniqueFd lock_;
};

}  // namespace tessera::worker
