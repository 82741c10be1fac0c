// The CHECKs of attention.h, shared by its implementations: what only a bug gets wrong.
#ifndef QUIRE_ATTENTION_ATTENTION_CHECKS_H_
#define QUIRE_ATTENTION_ATTENTION_CHECKS_H_

#include "attention/attention.h"

namespace quire {

// A wrong row reads behind the rotation tables.
void CheckRopeRows(const RopeTable& rope, DeviceArray<const int32_t> rows, int64_t tokens);
// A wrong slot writes outside the cache.
void CheckSlots(const PagedKvView& kv, DeviceArray<const int64_t> slots, int64_t tokens);
// Those that end in Shapes read no array, which on a device they could not.
void CheckNormRopeWriteShapes(const NormRopeWriteParams& params, const AttentionBatch& batch);
void CheckNormRopeShapes(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows);
void CheckGqaShapes(const GqaParams& params, const AttentionBatch& batch);
void CheckEncodeShapes(const EncoderParams& params, DeviceArray<const int32_t> query_start);
void CheckNormRopeWrite(const NormRopeWriteParams& params, const AttentionBatch& batch);
void CheckNormRope(const NormRopeWriteParams& params, DeviceArray<const int32_t> rope_rows);
void CheckGqa(const GqaParams& params, const AttentionBatch& batch);
void CheckEncode(const EncoderParams& params, DeviceArray<const int32_t> query_start);

}  // namespace quire

#endif  // QUIRE_ATTENTION_ATTENTION_CHECKS_H_
