// The decoder: runs any model that ModelConfig describes, on any backend. Encoders too: a batch
// without a cache.
#ifndef QUIRE_MODEL_DECODER_H_
#define QUIRE_MODEL_DECODER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "attention/attention.h"
#include "core/device_memory.h"
#include "kvcache/kv_storage.h"
#include "model/activations.h"
#include "model/kv_groups.h"
#include "model/mla_block.h"
#include "model/model_batch.h"
#include "model/model_config.h"
#include "model/rope_tables.h"
#include "model/weights.h"
#include "ops/ops.h"

namespace quire {

class Decoder {
 public:
  // Takes the activations and tables that a step needs, so that no step allocates. All borrowed
  // parts outlive the decoder. `mla` is made for config.mla's shape, or null where the model has
  // no latent attention.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(
      const ModelConfig& config, ModelWeights weights, const KvGroups& kv_groups,
      const KvStorage& kv, DType act_dtype, const DecoderLimits& limits, Ops& ops,
      Attention& attention, Mla* mla, DeviceMemory& memory);

  // What Create takes, with caches of `pools`.
  struct Bytes {
    size_t activations = 0;
    size_t rope_tables = 0;
  };
  static Bytes CountBytes(const ModelConfig& config, const std::vector<KvGroupStorage>& pools,
                          DType act_dtype, const DecoderLimits& limits);

  // Computes the batch's rows: writes their keys and values and leaves their hidden states, after
  // the last norm, for Logits and SumHidden.
  void Forward(const ModelBatch& batch) {
    Prepare(batch);
    Compute(batch);
  }
  // Its two parts: what differs from batch to batch beyond the contents of arrays (page copies,
  // rows of the rotation tables), and the rest, which can be recorded.
  void Prepare(const ModelBatch& batch);
  void Compute(const ModelBatch& batch);

  // Logits fp32 [rows.size, V] of rows of the last batch; rows.size <= max_logits_rows. Valid until
  // the next call.
  DeviceMatrix Logits(DeviceArray<const int32_t> rows);

  // Adds the hidden states of rows [first, first + count) of the last batch, in this order, to
  // `sum` [E].
  void SumHidden(int64_t first, int64_t count, absl::Span<float> sum);

  const ModelConfig& config() const { return config_; }
  const DecoderLimits& limits() const { return limits_; }

 private:
  Decoder(const ModelConfig& config, ModelWeights weights, const KvGroups& kv_groups,
          const KvStorage& kv, const DecoderLimits& limits, Ops& ops, Attention& attention)
      : config_(config),
        weights_(std::move(weights)),
        kv_groups_(kv_groups),
        kv_(kv),
        limits_(limits),
        ops_(ops),
        attention_(attention) {}

  void PrepareProducts();
  absl::Status WriteSinkTokens(DeviceMemory& memory);
  // What it takes.
  static size_t SinkTokenBytes(const std::vector<KvGroupStorage>& pools);
  void CopyPages(const ModelBatch& batch);
  void EmbedTokens(const ModelBatch& batch);
  void AttentionBlock(int layer, const ModelBatch& batch);
  void Attend(int layer, const ModelBatch& batch);
  NormRopeWriteParams Rotation(int layer, int64_t rows) const;  // without q2
  KvPrefix Sinks(int layer, int64_t rows) const;
  // Of `rows` the first num_generated are at generated positions.
  void Mlp(const MlpWeights& weights, int64_t rows, int64_t num_generated,
           const DeviceMatrix& delta);
  void Moe(const MoeWeights& weights, int64_t rows, int64_t num_generated);
  // residual += delta; normed = what the next block reads.
  void Join(const Norm& out_norm, const Norm& next, int64_t rows);

  const Norm& NormBefore(const Norm& norm) const;
  const Norm& NormAfterLayer(int layer) const;
  bool NormsBehind() const { return config_.placement == NormPlacement::kBehind; }

  ModelConfig config_;
  ModelWeights weights_;
  KvGroups kv_groups_;
  const KvStorage& kv_;
  DecoderLimits limits_;
  Ops& ops_;
  Attention& attention_;
  float embedding_scale_ = 1.0F;
  const Norm no_norm_;
  std::unique_ptr<RopeTables> rope_;
  std::unique_ptr<MlaBlock> mla_;  // of all layers, or null
  DeviceBuffer buffer_;
  Activations act_;
  DeviceBuffer sink_pages_;  // ids of the pages that learned sink tokens share, one list a group
};

}  // namespace quire

#endif  // QUIRE_MODEL_DECODER_H_
