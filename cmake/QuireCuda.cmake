# The CUDA backend: whether it is built, for which GPUs, and quire_cuda_library. Where it is not, no
# target of it exists, and nothing above the backend has to know.
set(QUIRE_WITH_CUDA AUTO CACHE STRING "The CUDA backend: ON, OFF, or AUTO (ON where nvcc is found)")
set_property(CACHE QUIRE_WITH_CUDA PROPERTY STRINGS AUTO ON OFF)
set(QUIRE_CUDA_ARCHITECTURES "90a" CACHE STRING
    "GPUs to compile kernels for, by compute capability: a list such as 80;90a;100a")

set(QUIRE_CUDA_FOUND OFF)
if(NOT QUIRE_WITH_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "QUIRE_WITH_CUDA is ${QUIRE_WITH_CUDA}; it is AUTO, ON or OFF")
endif()
# The architectures are ours to pass, in quire_cuda_library.
set(CMAKE_CUDA_ARCHITECTURES OFF)
if(QUIRE_WITH_CUDA STREQUAL "AUTO")
  include(CheckLanguage)
  check_language(CUDA)
endif()
if(QUIRE_WITH_CUDA STREQUAL "ON" OR (QUIRE_WITH_CUDA STREQUAL "AUTO" AND CMAKE_CUDA_COMPILER))
  if(QUIRE_CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${QUIRE_CCACHE})
  endif()
  enable_language(CUDA)
  set(QUIRE_CUDA_FOUND ON)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.0)
    set(QUIRE_CUDA_FOUND OFF)
    set(severity STATUS)
    if(QUIRE_WITH_CUDA STREQUAL "ON")
      set(severity FATAL_ERROR)
    endif()
    message(${severity} "CUDA kernels need nvcc 12.0 or newer (C++20), this is "
                        "${CMAKE_CUDA_COMPILER_VERSION}: they are left out")
  endif()
endif()
if(QUIRE_CUDA_FOUND)
  # CMake 3.25 does not know how to ask nvcc 13 for C++20.
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  find_package(CUDAToolkit REQUIRED)
endif()
message(STATUS "CUDA backend: ${QUIRE_CUDA_FOUND} (QUIRE_WITH_CUDA=${QUIRE_WITH_CUDA})")

# quire_cuda_library(NAME quire_ops_cuda_kernels SRCS *.cu HDRS ... DEPS ...): kernels, compiled by
# nvcc for QUIRE_CUDA_ARCHITECTURES. Call it only where QUIRE_CUDA_FOUND.
function(quire_cuda_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;HDRS;DEPS" ${ARGN})
  set(architectures)
  foreach(architecture ${QUIRE_CUDA_ARCHITECTURES})
    list(APPEND architectures
      "SHELL:-gencode arch=compute_${architecture},code=sm_${architecture}")
  endforeach()
  add_library(${ARG_NAME} STATIC ${ARG_SRCS} ${ARG_HDRS})
  target_link_libraries(${ARG_NAME} PUBLIC quire_flags CUDA::cudart_static ${ARG_DEPS})
  # Host functions that are constexpr (bf16 conversions) serve on the device too.
  target_compile_options(${ARG_NAME} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:
    --expt-relaxed-constexpr -lineinfo ${architectures}>)
endfunction()

# quire_cuda_kernels(NAME quire_ops_cuda_kernels SRCS cuda/*.cu HDRS ... DEPS ...): the same kernels and
# launch functions twice. NAME is the device's, where CUDA is found; NAME_emulated runs on the host,
# for tests. A program links one of them.
function(quire_cuda_kernels)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;HDRS;DEPS" ${ARGN})
  if(QUIRE_CUDA_FOUND)
    quire_cuda_library(NAME ${ARG_NAME} SRCS ${ARG_SRCS} HDRS ${ARG_HDRS} DEPS quire_cuda ${ARG_DEPS})
  endif()
  if(QUIRE_BUILD_TESTS)
    set(sources)
    foreach(source ${ARG_SRCS})
      file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR}/${source})
      set(emulated ${CMAKE_CURRENT_BINARY_DIR}/emulated/${source}.cc)
      file(CONFIGURE OUTPUT ${emulated} CONTENT "#include \"${path}\"\n" @ONLY)
      list(APPEND sources ${emulated})
    endforeach()
    quire_cc_library(NAME ${ARG_NAME}_emulated SRCS ${sources} HDRS ${ARG_HDRS}
      DEPS quire_cuda_emulation ${ARG_DEPS})
  endif()
endfunction()
