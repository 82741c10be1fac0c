// The decoder: runs any model that ModelConfig describes, on any backend.
#ifndef QUIRE_MODEL_DECODER_H_
#define QUIRE_MODEL_DECODER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "attention/attention.h"
#include "core/device_memory.h"
#include "kvcache/kv_storage.h"
#include "model/kv_groups.h"
#include "model/model_batch.h"
#include "model/model_config.h"
#include "model/rope_tables.h"
#include "model/weights.h"
#include "ops/ops.h"

namespace quire {

struct DecoderLimits {
  int64_t max_batch_tokens = 0;  // T at most
  int64_t max_logits_rows = 0;   // rows of logits at a time
  RopeRowLayout rope_rows;       // of the rotary tables
};

class Decoder {
 public:
  // Takes the activations and tables that a step needs, so that no step allocates. All borrowed
  // parts outlive the decoder.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(
      const ModelConfig& config, ModelWeights weights, const KvGroups& kv_groups,
      const KvStorage& kv, DType act_dtype, const DecoderLimits& limits, Ops& ops,
      Attention& attention, DeviceMemory& memory);

  // Computes the batch's rows: writes their keys and values and leaves their hidden states, after
  // the last norm, for Logits.
  void Forward(const ModelBatch& batch);

  // Logits fp32 [rows.size, V] of rows of the last batch; rows.size <= max_logits_rows. Valid until
  // the next call.
  DeviceMatrix Logits(DeviceArray<const int32_t> rows);

  const ModelConfig& config() const { return config_; }
  const DecoderLimits& limits() const { return limits_; }

  // Bytes that Create takes for activations with these limits.
  static size_t ActivationBytes(const ModelConfig& config, DType act_dtype,
                                const DecoderLimits& limits);

 private:
  // All of a step's intermediate results; rows [0, T) are in use.
  struct Activations {
    DeviceMatrix residual;  // fp32 [T, E], the residual stream
    DeviceMatrix normed;    // act [T, E]
    DeviceMatrix qkv;       // act [T, (H + 2 Hkv) D]
    DeviceMatrix attended;  // act [T, H D]
    DeviceMatrix delta;     // fp32 [T, E], what a block adds to the residual
    DeviceMatrix gate_up;   // act [T, 2 F]
    DeviceMatrix gated;     // act [T, F]
    DeviceMatrix last;      // act [R, E], of normed, the rows that give logits
    DeviceMatrix logits;    // fp32 [R, V]
  };

  Decoder(const ModelConfig& config, ModelWeights weights, const KvGroups& kv_groups,
          const KvStorage& kv, const DecoderLimits& limits, Ops& ops, Attention& attention)
      : config_(config),
        weights_(std::move(weights)),
        kv_groups_(kv_groups),
        kv_(kv),
        limits_(limits),
        ops_(ops),
        attention_(attention) {}

  static Activations Lay(const ModelConfig& config, DType act_dtype, const DecoderLimits& limits,
                         char* base, size_t& bytes);
  void CopyPages(const ModelBatch& batch);
  void AttentionBlock(int layer, const ModelBatch& batch);
  void MlpBlock(int layer, int64_t rows);

  ModelConfig config_;
  ModelWeights weights_;
  KvGroups kv_groups_;
  const KvStorage& kv_;
  DecoderLimits limits_;
  Ops& ops_;
  Attention& attention_;
  std::unique_ptr<RopeTables> rope_;
  DeviceBuffer buffer_;
  Activations act_;
};

}  // namespace quire

#endif  // QUIRE_MODEL_DECODER_H_
