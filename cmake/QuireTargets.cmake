# quire_cc_library, quire_cc_binary, quire_cc_test: one call per target, with its dependencies.
include(GoogleTest OPTIONAL)

# Flags of every target of ours.
add_library(quire_flags INTERFACE)
target_include_directories(quire_flags INTERFACE ${CMAKE_SOURCE_DIR})
# Designated initialisers leave the rest to its defaults, which -Wextra would warn about.
target_compile_options(quire_flags INTERFACE
  $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Werror -Wno-missing-field-initializers>
  $<$<COMPILE_LANGUAGE:CUDA>:--Werror=all-warnings
    -Xcompiler=-Wall,-Wextra,-Werror,-Wno-missing-field-initializers>)
if(QUIRE_SANITIZE STREQUAL "address")
  target_compile_options(quire_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer>)
  target_link_options(quire_flags INTERFACE -fsanitize=address,undefined)
elseif(QUIRE_SANITIZE STREQUAL "thread")
  # Under its macro protobuf's headers add members that the packaged library does not have. GCC's
  # flow analysis is wrong on instrumented code (of Abseil's hash tables, for one).
  target_compile_options(quire_flags INTERFACE $<$<COMPILE_LANGUAGE:C,CXX>:
    -fsanitize=thread -fno-omit-frame-pointer -U__SANITIZE_THREAD__ -Wno-maybe-uninitialized>)
  target_link_options(quire_flags INTERFACE -fsanitize=thread)
endif()
if(QUIRE_SANITIZE)
  target_compile_definitions(quire_flags INTERFACE QUIRE_SANITIZED)
endif()

# quire_cc_library(NAME quire_core SRCS ... HDRS ... DEPS ...)
function(quire_cc_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;HDRS;DEPS" ${ARGN})
  if(ARG_SRCS)
    add_library(${ARG_NAME} STATIC ${ARG_SRCS} ${ARG_HDRS})
    target_link_libraries(${ARG_NAME} PUBLIC quire_flags ${ARG_DEPS})
  else()
    add_library(${ARG_NAME} INTERFACE)
    target_link_libraries(${ARG_NAME} INTERFACE quire_flags ${ARG_DEPS})
  endif()
endfunction()

function(quire_cc_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE quire_flags ${ARG_DEPS})
endfunction()

# quire_cc_test(NAME kvcache_block_pool_test SRCS ... DEPS ... LABELS unit [TIMEOUT seconds] [WHOLE])
# Labels: those of docs/conventions.md. A binary's gtest cases are separate ctest entries, so that a
# failure names its law; WHOLE keeps them together where set-up is dear.
function(quire_cc_test)
  cmake_parse_arguments(ARG "WHOLE" "NAME;TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE quire_flags ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${ARG_NAME} PRIVATE
    QUIRE_SOURCE_DIR="${CMAKE_SOURCE_DIR}" QUIRE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  if("cuda" IN_LIST ARG_LABELS)
    set_property(GLOBAL APPEND PROPERTY QUIRE_GPU_PROGRAMS ${ARG_NAME})
    file(RELATIVE_PATH program ${CMAKE_BINARY_DIR} ${CMAKE_CURRENT_BINARY_DIR}/${ARG_NAME})
    set_property(GLOBAL APPEND PROPERTY QUIRE_GPU_TESTS "${program} ${ARG_TIMEOUT}\n")
  endif()
  if(ARG_WHOLE)
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
    set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  else()
    gtest_discover_tests(${ARG_NAME} DISCOVERY_MODE PRE_TEST TEST_PREFIX ${ARG_NAME}.
      PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT})
  endif()
endfunction()

# Target gpu_check: what tools/gpu_check.sh runs, and the list of it (program, seconds that it may
# take).
function(quire_gpu_check)
  get_property(programs GLOBAL PROPERTY QUIRE_GPU_PROGRAMS)
  get_property(tests GLOBAL PROPERTY QUIRE_GPU_TESTS)
  string(CONCAT list ${tests})
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/gpu_tests.txt CONTENT "${list}" @ONLY)
  add_custom_target(gpu_check DEPENDS ${programs} gpu_bench)
endfunction()
