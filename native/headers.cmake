# SPDX-License-Identifier: Apache-2.0
# Every target below this folder takes the standard library's headers from one precompiled file. The sources
# still name what they use: without the option, which a wheel's build may turn off, they compile alone.
add_library(tessera_headers OBJECT headers.cpp)
target_precompile_headers(tessera_headers PRIVATE
  <algorithm> <array> <atomic> <charconv> <chrono> <condition_variable> <cstdint> <cstdlib> <cstring> <deque>
  <functional> <map> <memory> <mutex> <optional> <span> <stdexcept> <string> <string_view> <system_error> <thread>
  <utility> <vector>)

function(tessera_share_headers folder)
  get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    get_target_property(type ${target} TYPE)
    if(type MATCHES "^(EXECUTABLE|(STATIC|SHARED|MODULE)_LIBRARY)$")
      target_precompile_headers(${target} REUSE_FROM tessera_headers)
    endif()
  endforeach()
  get_property(inner DIRECTORY ${folder} PROPERTY SUBDIRECTORIES)
  foreach(folder ${inner})
    tessera_share_headers(${folder})
  endforeach()
endfunction()
tessera_share_headers(${CMAKE_CURRENT_SOURCE_DIR})
