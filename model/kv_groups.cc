#include "model/kv_groups.h"

#include <algorithm>

namespace quire {
namespace {

KvPageLayout PageLayout(const ModelConfig& config, int block_tokens, DType kv_dtype) {
  KvPageLayout layout{.num_kv_heads = config.num_kv_heads,
                      .head_dim = config.head_dim,
                      .value_dim = config.value_dim,
                      .block_tokens = block_tokens,
                      .dtype = kv_dtype};
  if (config.mla) {
    layout.num_kv_heads = 1;
    layout.head_dim = config.mla->shape.cache_dim();
    layout.value_dim = 0;
  }
  return layout;
}

}  // namespace

KvGroups GroupKvLayers(const ModelConfig& config, int block_tokens, DType kv_dtype) {
  KvGroups made;
  if (config.is_encoder) return made;
  made.sink_tokens = config.sink_tokens;
  for (int layer = 0; layer < config.num_layers; ++layer) {
    const LayerConfig& sees = config.layers[layer];
    auto group = std::find_if(made.groups.begin(), made.groups.end(), [&](const KvGroup& g) {
      return g.window == sees.window && g.sinks == sees.sinks && g.streams == sees.streams;
    });
    if (group == made.groups.end()) {
      made.groups.push_back({.window = sees.window,
                             .sinks = sees.sinks,
                             .streams = sees.streams,
                             .layout = PageLayout(config, block_tokens, kv_dtype),
                             .layers = {}});
      group = made.groups.end() - 1;
    }
    made.places.push_back({.group = static_cast<int>(group - made.groups.begin()),
                           .layer = static_cast<int>(group->layers.size())});
    group->layers.push_back(layer);
  }
  return made;
}

}  // namespace quire
