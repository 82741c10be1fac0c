// The CHECKs of attention.h, shared by its implementations: what only a bug gets wrong.
#ifndef QUIRE_ATTENTION_ATTENTION_CHECKS_H_
#define QUIRE_ATTENTION_ATTENTION_CHECKS_H_

#include "attention/attention.h"

namespace quire {

void CheckNormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch);
void CheckGqa(const GqaParams& params, const AttentionBatch& batch);

}  // namespace quire

#endif  // QUIRE_ATTENTION_ATTENTION_CHECKS_H_
