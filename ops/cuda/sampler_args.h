// What the host tells the kernels of sampler.h, and what they tell it. Pointers are device
// pointers.
#ifndef QUIRE_OPS_CUDA_SAMPLER_ARGS_H_
#define QUIRE_OPS_CUDA_SAMPLER_ARGS_H_

#include <cstdint>

#include "core/device_matrix.h"

namespace quire {

inline constexpr int64_t kMaxSampledVocabulary = 1 << 20;
inline constexpr int32_t kMaxTopLogits = 256;  // of a scored row

// Records that kernels load are multiples of 8 or 16 bytes, aligned to it.

// What penalties know of an id: how often it is in the output, plus this where it is in the prompt
// and that matters.
inline constexpr int32_t kInPrompt = 1 << 30;

// One change of a row's y or counts. Its place in the row's list says which.
struct alignas(8) LogitEdit {
  int32_t id = 0;
  float value = 0.0F;  // bias, count: what is added (exact below 2^24, and kInPrompt); ban: unused
};

// One row to edit: row i of EditLogitsArgs::edited becomes y of logits row `logits_row`. Its edits
// are edits[first_edit ..]: biases, whose ids are distinct, then bans, then what is added to the
// counts. A row without penalties has no penalty row, and others' are distinct in a launch.
struct alignas(16) EditRow {
  int64_t logits_row = 0;
  int32_t first_edit = 0;
  int32_t num_biases = 0;
  int32_t num_bans = 0;
  int32_t num_counts = 0;
  float repetition_penalty = 1.0F;
  float frequency_penalty = 0.0F;
  float presence_penalty = 0.0F;
  int32_t pending = -1;  // drawn_before[pending], if that is a token, is counted too
  int32_t penalty_row = -1;
  int32_t counts_anew = 0;  // 1: from zero
};

struct EditLogitsArgs {
  DeviceMatrix logits;                 // fp32 [R, V]
  DeviceArray<const EditRow> rows;     // [N]
  DeviceArray<const LogitEdit> edits;  //
  DeviceMatrix edited;                 // fp32 [at least N, V], written
  // By penalty row and id; aligned to 16 bytes, the stride to 4. Kept from launch to launch.
  int32_t* counts = nullptr;
  int64_t counts_stride = 0;
  // What is drawn last as a row's token; -1: none.
  const int32_t* drawn_before = nullptr;
};

// ids[t] becomes the token drawn[sources[t]], or 0 where that is none; a source of -1 leaves it.
struct TakeDrawnArgs {
  DeviceArray<const int32_t> sources;  // [T]
  const int32_t* drawn = nullptr;
  int32_t* ids = nullptr;  // [T]
};

// One token to draw, from logits row `row`, or from edited row `row`.
struct alignas(16) DrawRow {
  int64_t row = 0;
  int32_t is_edited = 0;
  int32_t top_k = 0;         // 0: all
  float scale = 0.0F;        // TemperatureScale; 0: greedy
  float top_p = 1.0F;        //
  uint64_t min_weight = 0;   // MinWeight
  uint64_t random_bits = 0;  //
};

struct DrawArgs {
  DeviceMatrix logits;              // fp32 [R, V]
  DeviceMatrix edited;              // fp32 [., V], or null
  DeviceArray<const DrawRow> rows;  // [N]
  int32_t* tokens = nullptr;        // [N]: an id, or -1: none
};

// One row to score: the token `token`, or the one that was drawn last as tokens[draw].
struct alignas(16) ScoreRow {
  int64_t row = 0;     // of the logits
  int32_t token = -1;  // -1: tokens[draw], which may be -1 itself: nothing to score
  int32_t draw = 0;
  int32_t top = 0;  // likeliest tokens asked for, at most ScoreArgs::top_stride
};

// A log-probability is logit - (max + ln(total / 2^40)).
struct alignas(16) RowScore {
  int32_t token = -1;   // -1: none, and the rest means nothing
  int32_t num_top = 0;  // fewer than asked for where the row has no more numbers
  float logit = 0.0F;   // the token's
  float max = 0.0F;
  uint64_t total = 0;  // of the weights ExpWeight(logit, max, TemperatureScale(1))
};

struct alignas(8) TopLogit {
  int32_t id = 0;
  float logit = 0.0F;
};

struct ScoreArgs {
  DeviceMatrix logits;               // fp32 [R, V]
  DeviceArray<const ScoreRow> rows;  // [N]
  const int32_t* tokens = nullptr;   // read where a row's token is -1
  RowScore* scores = nullptr;        // [N]
  TopLogit* top = nullptr;           // [N, top_stride]: (logit descending, id ascending), no NaN
  int32_t top_stride = 0;            // at most kMaxTopLogits
};

}  // namespace quire

#endif  // QUIRE_OPS_CUDA_SAMPLER_ARGS_H_
