#include "model/weight_loader.h"

#include <utility>

#include "core/status_macros.h"
#include "model/weights.h"

namespace quire {

WeightLoader::WeightLoader(const ModelConfig& config, DType act_dtype, WeightSource& source,
                           WeightMaker& maker, const LoadProgress& progress)
    : config_(config),
      act_dtype_(act_dtype),
      source_(source),
      maker_(maker),
      progress_(progress),
      bytes_each_(static_cast<int64_t>(DTypeBytes(act_dtype))),
      total_(CountParameters(config)) {
  if (progress_) progress_(0, total_ * bytes_each_);
}

absl::StatusOr<std::unique_ptr<Linear>> WeightLoader::Merge(const std::string& name,
                                                            int64_t in_features,
                                                            const std::vector<Part>& parts) {
  std::vector<StoredMatrix> stored;
  std::vector<std::string> tensors;
  int64_t parameters = 0;
  for (const Part& part : parts) {
    stored.push_back({.weight = part.name + ".weight",
                      .bias = part.has_bias ? part.name + ".bias" : "",
                      .out_features = part.out_features,
                      .in_features = in_features,
                      .transposed = part.transposed});
    tensors.push_back(part.name + ".weight");
    parameters += part.out_features * in_features;
  }
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Linear> linear, MergeStored(name, stored));
  Finish(tensors, parameters);
  return linear;
}

absl::StatusOr<std::unique_ptr<Linear>> WeightLoader::MergeStored(
    const std::string& name, const std::vector<StoredMatrix>& parts) {
  LinearSpec spec{
      .name = name, .in_features = parts.front().in_features, .parts = {}, .act_dtype = act_dtype_};
  for (const StoredMatrix& part : parts) {
    QUIRE_ASSIGN_OR_RETURN(const WeightRows rows, source_.Rows(part));
    spec.parts.push_back(rows);
  }
  return maker_.MakeLinear(spec);
}

void WeightLoader::Finish(const std::vector<std::string>& tensors, int64_t parameters) {
  for (const std::string& tensor : tensors) source_.Done(tensor);
  done_ += parameters;
  if (progress_) progress_(done_ * bytes_each_, total_ * bytes_each_);
}

absl::StatusOr<MlpWeights> WeightLoader::LoadMlp(const std::string& name,
                                                 const std::vector<Part>& up, const Part& down) {
  MlpWeights mlp;
  QUIRE_ASSIGN_OR_RETURN(mlp.up, Merge(name + ".up", config_.hidden_size, up));
  int64_t width = 0;
  for (const Part& part : up) width += part.out_features;
  QUIRE_ASSIGN_OR_RETURN(mlp.down, Merge(down.name, config_.gated_mlp ? width / 2 : width, {down}));
  return mlp;
}

absl::StatusOr<std::unique_ptr<Embedding>> WeightLoader::LoadTable(const std::string& name,
                                                                   int64_t rows, int64_t width) {
  const StoredMatrix stored{
      .weight = name + ".weight", .bias = "", .out_features = rows, .in_features = width};
  QUIRE_ASSIGN_OR_RETURN(const WeightRows table, source_.Rows(stored));
  QUIRE_ASSIGN_OR_RETURN(std::unique_ptr<Embedding> embedding,
                         maker_.MakeEmbedding(table, width, act_dtype_));
  Finish({stored.weight}, rows * width);
  return embedding;
}

absl::StatusOr<Norm> WeightLoader::LoadNorm(const std::string& name, int64_t size) {
  Norm norm{.kind = config_.norm, .weight = {}, .bias = {}, .eps = config_.norm_eps};
  QUIRE_ASSIGN_OR_RETURN(norm.weight, LoadNormWeights({name}, size));
  if (config_.norm_bias) {
    QUIRE_ASSIGN_OR_RETURN(norm.bias, LoadVector(name + ".bias", size));
  }
  return norm;
}

absl::StatusOr<Norm> WeightLoader::LoadRmsNorm(const std::string& name, int64_t size, float eps) {
  Norm norm{.kind = NormKind::kRms, .weight = {}, .bias = {}, .eps = eps};
  QUIRE_ASSIGN_OR_RETURN(norm.weight, LoadVector(name + ".weight", size));
  return norm;
}

absl::StatusOr<DeviceVector> WeightLoader::LoadNormWeights(const std::vector<std::string>& names,
                                                           int64_t size) {
  std::vector<float> all;
  for (const std::string& name : names) {
    QUIRE_ASSIGN_OR_RETURN(const std::vector<float> values, source_.Vector(name + ".weight", size));
    source_.Done(name + ".weight");
    for (float value : values) all.push_back(config_.norm_plus_one ? 1.0F + value : value);
  }
  return maker_.MakeVector(all);
}

absl::StatusOr<DeviceVector> WeightLoader::LoadVector(const std::string& tensor, int64_t size) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<float> values, source_.Vector(tensor, size));
  source_.Done(tensor);
  return maker_.MakeVector(values);
}

}  // namespace quire
