# Two functions describe the whole tree: a folder is one library plus one test program.
#
#   callgate_library(NAME bpf SOURCES verify.cc … DEPS base abi)
#   callgate_test(NAME bpf SOURCES verify_test.cc … DEPS testing)
#
# A library NAME becomes the target callgate_NAME; headers are included as "bpf/verify.h" from src/.

set(CALLGATE_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
    -Wnon-virtual-dtor -Woverloaded-virtual
    # GCC 12 sees an overlap in every "literal" + string at -O3 (GCC bug 105651).
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>
    # stable_sort of libstdc++ 12 calls its own deprecated get_temporary_buffer, and clang reports that
    # here. Our own uses of what is deprecated are caught by GCC.
    $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>)

function(callgate_library)
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS;EXTERNAL" ${ARGN})
  add_library(callgate_${ARG_NAME} STATIC ${ARG_SOURCES})
  target_include_directories(callgate_${ARG_NAME} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(callgate_${ARG_NAME} PRIVATE ${CALLGATE_WARNINGS})
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(callgate_${ARG_NAME} PUBLIC callgate_${dep})
  endforeach()
  target_link_libraries(callgate_${ARG_NAME} PUBLIC fmt::fmt ${ARG_EXTERNAL})
endfunction()

function(callgate_test)
  if(NOT CALLGATE_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "NAME" "SOURCES;DEPS;EXTERNAL" ${ARGN})
  add_executable(${ARG_NAME}_test ${ARG_SOURCES})
  target_compile_options(${ARG_NAME}_test PRIVATE ${CALLGATE_WARNINGS})
  target_compile_definitions(${ARG_NAME}_test PRIVATE
    CALLGATE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" CALLGATE_BINARY_DIR="${PROJECT_BINARY_DIR}")
  foreach(dep IN LISTS ARG_DEPS)
    target_link_libraries(${ARG_NAME}_test PRIVATE callgate_${dep})
  endforeach()
  target_link_libraries(${ARG_NAME}_test PRIVATE GTest::gmock GTest::gtest_main ${ARG_EXTERNAL})
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME}_test)
endfunction()
