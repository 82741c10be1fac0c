// Which layers share a KV group: those whose rows see the same positions.
#ifndef QUIRE_MODEL_KV_GROUPS_H_
#define QUIRE_MODEL_KV_GROUPS_H_

#include <vector>

#include "kvcache/kv_layout.h"
#include "model/model_config.h"

namespace quire {

struct KvGroup {
  int window = 0;        // 0 = full attention
  int sinks = 0;         // of the sequence's own, seen besides the window
  bool streams = false;  // LayerConfig::streams
  KvPageLayout layout;
  std::vector<int> layers;  // of the model, ascending
};

// Where a layer's pages are.
struct KvPlace {
  int group = 0;
  int layer = 0;  // of the group's
};

struct KvGroups {
  std::vector<KvGroup> groups;
  std::vector<KvPlace> places;  // [L]
  int sink_tokens = 0;          // learned ones, whose pages all sequences share
  int padding_blocks = 0;       // of each group, for rows that belong to no sequence
};

// None for encoders, which keep nothing.
KvGroups GroupKvLayers(const ModelConfig& config, int block_tokens, DType kv_dtype);

}  // namespace quire

#endif  // QUIRE_MODEL_KV_GROUPS_H_
