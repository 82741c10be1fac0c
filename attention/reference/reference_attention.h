// The oracle of attention.h: naive loops, one row and head at a time, sums in fp64, every result
// rounded once.
#ifndef QUIRE_ATTENTION_REFERENCE_REFERENCE_ATTENTION_H_
#define QUIRE_ATTENTION_REFERENCE_REFERENCE_ATTENTION_H_

#include <memory>

#include "attention/attention.h"

namespace quire {

std::unique_ptr<Attention> MakeReferenceAttention();

}  // namespace quire

#endif  // QUIRE_ATTENTION_REFERENCE_REFERENCE_ATTENTION_H_
