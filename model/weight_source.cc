#include "model/weight_source.h"

#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/elements.h"
#include "core/status_macros.h"

namespace quire {
namespace {

std::string ShapeText(absl::Span<const int64_t> shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

class CheckpointWeights : public WeightSource {
 public:
  explicit CheckpointWeights(std::unique_ptr<SafetensorsCheckpoint> checkpoint)
      : checkpoint_(std::move(checkpoint)) {}

  absl::StatusOr<WeightRows> Rows(const std::string& prefix, int64_t out_features,
                                  int64_t in_features, bool has_bias) override {
    WeightRows rows{.out_features = out_features};
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor* weight,
                           Get(prefix + ".weight", {out_features, in_features}));
    rows.weight = weight->data();
    rows.weight_dtype = *weight->dtype;
    weight->file->WillRead(weight->begin, weight->bytes);
    if (has_bias) {
      QUIRE_ASSIGN_OR_RETURN(const StoredTensor* bias, Get(prefix + ".bias", {out_features}));
      rows.bias = bias->data();
      rows.bias_dtype = *bias->dtype;
    }
    return rows;
  }

  absl::StatusOr<std::vector<float>> Vector(const std::string& prefix, int64_t size) override {
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor* tensor, Get(prefix + ".weight", {size}));
    std::vector<float> values(size);
    for (int64_t i = 0; i < size; ++i) values[i] = LoadElement(tensor->data(), *tensor->dtype, i);
    return values;
  }

  void Done(const std::string& prefix) override {
    for (const char* kind : {".weight", ".bias"}) {
      const StoredTensor* tensor = checkpoint_->Find(prefix + kind);
      if (tensor != nullptr) tensor->file->DropPages(tensor->begin, tensor->bytes);
    }
  }

  // Of the largest tensor: norms are often wider than the rest.
  DType stored_dtype() const override {
    DType dtype = DType::kBFloat16;
    size_t largest = 0;
    for (const auto& [name, tensor] : checkpoint_->tensors()) {
      if (!tensor.dtype || tensor.bytes <= largest) continue;
      dtype = *tensor.dtype;
      largest = tensor.bytes;
    }
    return dtype;
  }

  std::vector<std::string> Unused() const override {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : checkpoint_->tensors()) {
      if (!used_.contains(name)) names.push_back(name);
    }
    return names;
  }

 private:
  absl::StatusOr<const StoredTensor*> Get(const std::string& name,
                                          const std::vector<int64_t>& shape) {
    const StoredTensor* tensor = checkpoint_->Find(name);
    if (tensor == nullptr) {
      return absl::NotFoundError(absl::StrCat("the checkpoint lacks the tensor ", name, " ",
                                              ShapeText(shape), " that its config.json calls for"));
    }
    const std::string where = absl::StrCat(tensor->file->path(), ": ", name, ": ");
    if (tensor->shape != shape) {
      return absl::InvalidArgumentError(absl::StrCat(where, "has the shape ",
                                                     ShapeText(tensor->shape), ", expected ",
                                                     ShapeText(shape), " by config.json"));
    }
    if (!tensor->dtype) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, "has the type ", tensor->dtype_name, ", expected BF16, F16 or F32"));
    }
    if (tensor->begin % DTypeBytes(*tensor->dtype) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(where, "starts at byte ", tensor->begin,
                                                     " of the file, expected a multiple ",
                                                     "of its element size"));
    }
    used_.insert(name);
    return tensor;
  }

  std::unique_ptr<SafetensorsCheckpoint> checkpoint_;
  std::set<std::string> used_;
};

uint64_t NameSeed(const std::string& name) {  // FNV-1a: the same on every machine
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3ULL;
  return hash;
}

class RandomSource : public WeightSource {
 public:
  explicit RandomSource(const ModelConfig& config)
      : dtype_(config.checkpoint_dtype.value_or(DType::kBFloat16)) {}

  absl::StatusOr<WeightRows> Rows(const std::string& prefix, int64_t out_features,
                                  int64_t in_features, bool has_bias) override {
    std::vector<bf16>& values = live_[prefix];
    Fill(prefix, out_features * (in_features + (has_bias ? 1 : 0)), values);
    return WeightRows{.weight = values.data(),
                      .weight_dtype = DType::kBFloat16,
                      .out_features = out_features,
                      .bias = has_bias ? values.data() + out_features * in_features : nullptr,
                      .bias_dtype = DType::kBFloat16};
  }

  absl::StatusOr<std::vector<float>> Vector(const std::string& /*prefix*/, int64_t size) override {
    return std::vector<float>(size, 1.0F);
  }
  void Done(const std::string& prefix) override { live_.erase(prefix); }
  DType stored_dtype() const override { return dtype_; }
  std::vector<std::string> Unused() const override { return {}; }

 private:
  // Uniform on +-0.02 sqrt(3); splitmix64, four values from each draw.
  static void Fill(const std::string& name, int64_t count, std::vector<bf16>& values) {
    constexpr float kScale = 0.0346410162F / 32768.0F;
    values.resize((count + 3) / 4 * 4);
    uint64_t state = NameSeed(name);
    for (size_t i = 0; i < values.size(); i += 4) {
      state += 0x9e3779b97f4a7c15ULL;
      uint64_t bits = state;
      bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
      bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;
      bits ^= bits >> 31;
      for (size_t k = 0; k < 4; ++k) {
        values[i + k] = ToBf16(static_cast<float>(static_cast<int16_t>(bits >> (16 * k))) * kScale);
      }
    }
  }

  DType dtype_;
  std::map<std::string, std::vector<bf16>> live_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenCheckpoint(const std::string& directory) {
  QUIRE_ASSIGN_OR_RETURN(auto checkpoint, SafetensorsCheckpoint::Open(directory));
  return std::make_unique<CheckpointWeights>(std::move(checkpoint));
}

std::unique_ptr<WeightSource> RandomWeights(const ModelConfig& config) {
  return std::make_unique<RandomSource>(config);
}

}  // namespace quire
