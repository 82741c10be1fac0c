#include "server/embed_codec.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "server/limits.h"

namespace quire {
namespace {

absl::StatusOr<Pooling> DecodePooling(v1::Pooling wire) {
  switch (wire) {
    case v1::POOLING_MEAN:
      return Pooling::kMean;
    case v1::POOLING_CLS:
      return Pooling::kCls;
    case v1::POOLING_LAST:
      return Pooling::kLast;
    default:
      return absl::InvalidArgumentError(absl::StrCat(
          "pooling is ", static_cast<int>(wire), "; send POOLING_MEAN (1), POOLING_CLS (2) or ",
          "POOLING_LAST (3), or leave it unset for the model's own"));
  }
}

absl::StatusOr<std::vector<TokenId>> DecodeInput(const v1::EmbedInput& wire,
                                                 const CodecContext& context,
                                                 const std::string& field) {
  std::vector<TokenId> ids;
  switch (wire.input_case()) {
    case v1::EmbedInput::kText: {
      QUIRE_ASSIGN_OR_RETURN(ids, EncodeText(wire.text(), context, field + ".text", true));
      break;
    }
    case v1::EmbedInput::kTokenIds:
      QUIRE_RETURN_IF_ERROR(
          CheckTokenIds(wire.token_ids().ids(), context.model->vocab_size, field + ".token_ids"));
      ids.assign(wire.token_ids().ids().begin(), wire.token_ids().ids().end());
      break;
    case v1::EmbedInput::INPUT_NOT_SET:
      return absl::InvalidArgumentError(absl::StrCat(field, " is not set; send text or token_ids"));
  }
  if (ids.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is empty: it has 0 tokens; it needs one at least"));
  }
  return ids;
}

}  // namespace

absl::StatusOr<DecodedEmbed> DecodeEmbedRequest(const v1::EmbedRequest& wire,
                                                const CodecContext& context, absl::Time deadline) {
  QUIRE_RETURN_IF_ERROR(CheckName("request_id", wire.request_id()));
  QUIRE_RETURN_IF_ERROR(CheckName("tenant", wire.tenant()));
  QUIRE_RETURN_IF_ERROR(CheckName("cache_salt", wire.cache_salt()));
  if (wire.inputs_size() < 1 || wire.inputs_size() > kMaxEmbedInputs) {
    return absl::InvalidArgumentError(absl::StrCat(
        "inputs has ", wire.inputs_size(), " entries; the range is 1 to ", kMaxEmbedInputs));
  }
  Request common;
  common.pooling = context.model->default_pooling();
  if (wire.has_pooling()) {
    QUIRE_ASSIGN_OR_RETURN(common.pooling, DecodePooling(wire.pooling()));
  }
  common.stopping.max_new_tokens = 0;
  common.request_id = NameRequest(wire.request_id(), "emb-");
  common.tenant = wire.tenant();
  common.priority = wire.priority();
  common.cache_salt = wire.cache_salt();
  common.bypass_prefix_cache = wire.bypass_prefix_cache();
  common.deadline = deadline;
  DecodedEmbed decoded{.request_id = common.request_id,
                       .tenant = common.tenant,
                       .normalize = !wire.has_normalize() || wire.normalize(),
                       .requests = {}};
  for (int i = 0; i < wire.inputs_size(); ++i) {
    auto request = std::make_shared<Request>(common);
    QUIRE_ASSIGN_OR_RETURN(request->prompt,
                           DecodeInput(wire.inputs(i), context, absl::StrCat("inputs[", i, "]")));
    decoded.requests.push_back(std::move(request));
  }
  return decoded;
}

v1::Pooling ToWire(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return v1::POOLING_MEAN;
    case Pooling::kCls:
      return v1::POOLING_CLS;
    case Pooling::kLast:
      return v1::POOLING_LAST;
  }
  return v1::POOLING_UNSPECIFIED;
}

absl::Status FinishEmbedding(bool normalize, absl::Span<const float> values, v1::Embedding& wire) {
  double squares = 0;
  for (float value : values) squares += double{value} * value;
  if (!std::isfinite(squares)) {
    return absl::InternalError("the model gave hidden states that are not finite");
  }
  const double length = normalize ? std::max(std::sqrt(squares), 1e-12) : 1.0;
  wire.mutable_values()->Reserve(static_cast<int>(values.size()));
  for (float value : values) wire.add_values(static_cast<float>(value / length));
  return absl::OkStatus();
}

}  // namespace quire
