#include "model/moe_weights.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"

namespace quire {
namespace {

// The matrices of one expert, and how many of them its tensors stack.
struct ExpertMatrices {
  std::vector<StoredMatrix> gate_up;
  StoredMatrix down;
};

ExpertMatrices DescribeExpert(const ModelConfig& config, const std::string& at, int expert) {
  const WeightNames& names = config.names;
  const int64_t hidden = config.hidden_size;
  const int64_t ffn = config.moe->intermediate_size;
  const bool bias = config.moe->expert_bias;
  ExpertMatrices expert_matrices;
  if (names.storage == ExpertStorage::kSeparate) {
    const auto matrix = [&](const std::string& name, int64_t out, int64_t in) {
      const std::string prefix = absl::StrCat(at, names.experts, ".", expert, ".", name);
      return StoredMatrix{.weight = prefix + ".weight",
                          .bias = bias ? prefix + ".bias" : "",
                          .out_features = out,
                          .in_features = in};
    };
    expert_matrices.gate_up = {matrix(names.expert_gate, ffn, hidden),
                               matrix(names.expert_up, ffn, hidden)};
    expert_matrices.down = matrix(names.expert_down, hidden, ffn);
    return expert_matrices;
  }
  const bool in_first = names.storage == ExpertStorage::kStackedInFirst;
  const auto stacked = [&](const std::string& name, int64_t out, int64_t in) {
    return StoredMatrix{.weight = absl::StrCat(at, name, in_first ? "" : ".weight"),
                        .bias = bias ? absl::StrCat(at, name, "_bias") : "",
                        .out_features = out,
                        .in_features = in,
                        .transposed = in_first,
                        .count = config.moe->routing.num_experts,
                        .index = expert};
  };
  expert_matrices.down = stacked(names.experts_down, hidden, ffn);
  if (!in_first) {
    expert_matrices.gate_up = {stacked(names.experts_gate_up, 2 * ffn, hidden)};
    return expert_matrices;
  }
  for (int64_t first : {0, 1}) {
    StoredMatrix part = stacked(names.experts_gate_up, ffn, hidden);
    part.step = 2;
    part.first = first;
    expert_matrices.gate_up.push_back(part);
  }
  return expert_matrices;
}

std::vector<std::string> TensorsOf(const ExpertMatrices& expert) {
  std::vector<std::string> tensors = {expert.down.weight};
  for (const StoredMatrix& part : expert.gate_up) tensors.push_back(part.weight);
  return tensors;
}

absl::StatusOr<std::unique_ptr<Experts>> LoadExperts(const ModelConfig& config,
                                                     const std::string& at, WeightLoader& loader) {
  const int64_t parameters = 3 * config.hidden_size * config.moe->intermediate_size;
  const bool separate = config.names.storage == ExpertStorage::kSeparate;
  ExpertsSpec spec{.gate_up = {},
                   .down = {},
                   .activation = config.activation,
                   .top_k = config.moe->routing.top_k,
                   .act_dtype = loader.act_dtype()};
  for (int expert = 0; expert < config.moe->routing.num_experts; ++expert) {
    const ExpertMatrices matrices = DescribeExpert(config, at, expert);
    const std::string name = absl::StrCat(at, "experts.", expert);
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Linear> gate_up,
                           loader.MergeStored(name + ".gate_up", matrices.gate_up));
    QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Linear> down,
                           loader.MergeStored(name + ".down", {matrices.down}));
    spec.gate_up.push_back(std::move(gate_up));
    spec.down.push_back(std::move(down));
    // A stack's memory goes with its last expert.
    const bool last = expert + 1 == config.moe->routing.num_experts;
    loader.Finish(separate || last ? TensorsOf(matrices) : std::vector<std::string>(), parameters);
  }
  return loader.maker().MakeExperts(std::move(spec));
}

}  // namespace

absl::StatusOr<MoeWeights> LoadMoe(const std::string& at, WeightLoader& loader) {
  const ModelConfig& config = loader.config();
  const MoeConfig& moe = *config.moe;
  const WeightNames& names = config.names;
  MoeWeights weights;
  QUIRE_ASSIGN_OR_RETURN(
      weights.router,
      loader.Merge(at + names.router, config.hidden_size,
                   {{at + names.router, moe.routing.num_experts, moe.router_bias}}));
  weights.routing = {moe.routing, {}};
  if (moe.correction_bias) {
    QUIRE_ASSIGN_OR_RETURN(weights.routing.correction_bias,
                           loader.LoadVector(at + names.correction_bias, moe.routing.num_experts));
  }
  QUIRE_ASSIGN_OR_RETURN(weights.experts, LoadExperts(config, at, loader));
  if (moe.shared_intermediate_size == 0) return weights;
  const std::string shared = at + names.shared_expert;
  QUIRE_ASSIGN_OR_RETURN(weights.shared,
                         loader.LoadMlp(shared,
                                        {{shared + ".gate_proj", moe.shared_intermediate_size},
                                         {shared + ".up_proj", moe.shared_intermediate_size}},
                                        {shared + ".down_proj", config.hidden_size}));
  if (moe.shared_gate) {
    const std::string gate = at + names.shared_gate;
    QUIRE_ASSIGN_OR_RETURN(weights.shared_gate,
                           loader.Merge(gate, config.hidden_size, {{gate, 1}}));
  }
  return weights;
}

int64_t CountMoeParameters(const ModelConfig& config) {
  const MoeConfig& moe = *config.moe;
  const int64_t shared_gate = moe.shared_gate ? 1 : 0;
  return config.hidden_size *
         (3 * (moe.routing.num_experts * moe.intermediate_size + moe.shared_intermediate_size) +
          moe.routing.num_experts + shared_gate);
}

}  // namespace quire
