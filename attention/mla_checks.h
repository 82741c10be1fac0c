// The CHECKs of mla.h, shared by its implementations: what only a bug gets wrong.
#ifndef QUIRE_ATTENTION_MLA_CHECKS_H_
#define QUIRE_ATTENTION_MLA_CHECKS_H_

#include <cstdint>

#include "attention/mla.h"

namespace quire {

void CheckMlaShape(const MlaShape& shape);
// Those that end in Shapes read no array, which on a device they could not.
void CheckMlaNormRopeWriteShapes(const MlaNormRopeWriteParams& params, const AttentionBatch& batch);
void CheckMlaAbsorbedShapes(const MlaAbsorbedParams& params, const AttentionBatch& batch);
void CheckMlaPrefillShapes(const MlaPrefillParams& params, const AttentionBatch& batch);
void CheckMlaNormRopeWrite(const MlaNormRopeWriteParams& params, const AttentionBatch& batch);
void CheckMlaAbsorbed(const MlaAbsorbedParams& params, const AttentionBatch& batch);
void CheckMlaPrefill(const MlaPrefillParams& params, const AttentionBatch& batch);

// The entry whose first row is `row`, or the number of entries where `row` is their end.
int64_t MlaEntryOfRow(const AttentionBatch& batch, int64_t row);

}  // namespace quire

#endif  // QUIRE_ATTENTION_MLA_CHECKS_H_
