// The oracle of sampler.h: sorts the whole vocabulary.
#ifndef QUIRE_OPS_REFERENCE_REFERENCE_SAMPLER_H_
#define QUIRE_OPS_REFERENCE_REFERENCE_SAMPLER_H_

#include <memory>

#include "ops/sampler.h"

namespace quire {

std::unique_ptr<Sampler> MakeReferenceSampler();

}  // namespace quire

#endif  // QUIRE_OPS_REFERENCE_REFERENCE_SAMPLER_H_
