// Finds what was compiled once per instruction set.
//
//   QUIRE_DEFINE_ISA_TABLE(OpsKernelsFor, OpsKernels, kOpsKernels);   // in namespace quire
//
// defines const OpsKernels& OpsKernelsFor(CpuIsa isa), which gives the kOpsKernels of the namespace
// that quire_isa_library (isa_library.cmake) compiled for `isa`; the CPU must have it.
#ifndef QUIRE_CORE_CPU_ISA_TABLE_H_
#define QUIRE_CORE_CPU_ISA_TABLE_H_

#include "core/cpu/cpu_isa.h"

namespace quire {

template <typename Table>
const Table& TableOf(CpuIsa isa, const Table& portable, const Table& avx2, const Table& avx512,
                     const Table& avx512_bf16) {
  switch (isa) {
    case CpuIsa::kPortable:
      break;
    case CpuIsa::kAvx2:
      return avx2;
    case CpuIsa::kAvx512:
      return avx512;
    case CpuIsa::kAvx512Bf16:
      return avx512_bf16;
  }
  return portable;
}

}  // namespace quire

#define QUIRE_DEFINE_ISA_TABLE(Function, Table, kTable)                                       \
  namespace portable {                                                                        \
  extern const Table kTable;                                                                  \
  }                                                                                           \
  namespace avx2 {                                                                            \
  extern const Table kTable;                                                                  \
  }                                                                                           \
  namespace avx512 {                                                                          \
  extern const Table kTable;                                                                  \
  }                                                                                           \
  namespace avx512_bf16 {                                                                     \
  extern const Table kTable;                                                                  \
  }                                                                                           \
  const Table& Function(CpuIsa isa) {                                                         \
    return TableOf(isa, portable::kTable, avx2::kTable, avx512::kTable, avx512_bf16::kTable); \
  }                                                                                           \
  static_assert(true)  // takes the semicolon

#endif  // QUIRE_CORE_CPU_ISA_TABLE_H_
