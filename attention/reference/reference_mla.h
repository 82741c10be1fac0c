// The oracle of mla.h: naive loops, one row and head at a time, sums in fp64, every result rounded
// once.
#ifndef QUIRE_ATTENTION_REFERENCE_REFERENCE_MLA_H_
#define QUIRE_ATTENTION_REFERENCE_REFERENCE_MLA_H_

#include <memory>

#include "attention/mla.h"

namespace quire {

std::unique_ptr<Mla> MakeReferenceMla();

}  // namespace quire

#endif  // QUIRE_ATTENTION_REFERENCE_REFERENCE_MLA_H_
