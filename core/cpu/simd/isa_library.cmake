# quire_isa_library(NAME quire_ops_kernels SRCS ...): kernel sources compiled once per instruction
# set of CpuIsa, each time in a namespace of its name (QUIRE_ISA). Always optimised, in debug builds
# too: an unoptimised kernel is slow beyond use. With sanitizers GCC takes four times as long for the
# last bit of it.
function(quire_isa_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS" ${ARGN})
  set(flags_portable)
  set(flags_avx2 -mavx2 -mfma -mf16c)
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
  set(flags_avx512_bf16 ${flags_avx512} -mavx512bf16)
  set(optimise $<IF:$<BOOL:${QUIRE_SANITIZE}>,-O1,-O3>)
  set(objects)
  foreach(isa portable avx2 avx512 avx512_bf16)
    set(target ${ARG_NAME}_${isa})
    add_library(${target} OBJECT ${ARG_SRCS})
    target_link_libraries(${target} PRIVATE quire_flags)
    target_compile_definitions(${target} PRIVATE QUIRE_ISA=${isa})
    # Only Fma fuses: what a compiler contracts by itself would differ from compiler to compiler.
    # GCC 12 takes the undefined upper halves in its own AVX-512 headers for a fault; Clang does not
    # know the second warning.
    target_compile_options(${target} PRIVATE ${optimise} -ffp-contract=off -fno-math-errno
      -Wno-unknown-warning-option -Wno-uninitialized -Wno-maybe-uninitialized ${flags_${isa}})
    list(APPEND objects $<TARGET_OBJECTS:${target}>)
  endforeach()
  add_library(${ARG_NAME} STATIC ${objects})
  target_link_libraries(${ARG_NAME} PUBLIC quire_flags)
endfunction()
