# SPDX-License-Identifier: Apache-2.0
add_executable(tessera-probe probe.cpp probe_json.cpp)
target_link_libraries(tessera-probe PRIVATE ${CMAKE_DL_LIBS})
if(NOT TESSERA_SANITIZE)
  target_link_options(tessera-probe PRIVATE -static-libstdc++ -static-libgcc)
endif()
install(TARGETS tessera-probe RUNTIME DESTINATION tessera/_native)
