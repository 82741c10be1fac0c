// EmbedRequest -> one Request for each input.
#ifndef QUIRE_SERVER_EMBED_CODEC_H_
#define QUIRE_SERVER_EMBED_CODEC_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "server/request_codec.h"

namespace quire {

struct DecodedEmbed {
  std::string request_id;
  std::string tenant;
  bool normalize = true;
  std::vector<std::shared_ptr<const Request>> requests;
};

// As DecodeRequest has it.
absl::StatusOr<DecodedEmbed> DecodeEmbedRequest(const v1::EmbedRequest& wire,
                                                const CodecContext& context, absl::Time deadline);

v1::Pooling ToWire(Pooling pooling);

// The vector over its Euclidean length (at least 1e-12, as PyTorch's normalize has it) where
// `normalize`. INTERNAL if it holds what is not finite.
absl::Status FinishEmbedding(bool normalize, absl::Span<const float> values, v1::Embedding& wire);

}  // namespace quire

#endif  // QUIRE_SERVER_EMBED_CODEC_H_
