#include "model/weight_source.h"

#include <list>
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

  bool Has(const std::string& name) const override { return checkpoint_->Find(name) != nullptr; }

  absl::StatusOr<WeightRows> Rows(const StoredMatrix& matrix) override {
    WeightRows rows{.out_features = matrix.out_features};
    if (!Has(matrix.weight) && Has(matrix.weight + "_blocks")) {
      QUIRE_RETURN_IF_ERROR(FindMxfp4(matrix, rows));
    } else {
      QUIRE_RETURN_IF_ERROR(FindPlain(matrix, rows));
    }
    if (matrix.bias.empty()) return rows;
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor* bias,
                           Get(matrix.bias, Stacked(matrix, {StoredRows(matrix)})));
    rows.bias = ElementOf(*bias, matrix.index * StoredRows(matrix) + matrix.first);
    rows.bias_dtype = *bias->dtype;
    rows.bias_stride = matrix.step;
    return rows;
  }

  absl::StatusOr<std::vector<float>> Vector(const std::string& name, int64_t size) override {
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor* tensor, Get(name, {size}));
    std::vector<float> values(size);
    for (int64_t i = 0; i < size; ++i) values[i] = LoadElement(tensor->data(), *tensor->dtype, i);
    return values;
  }

  void Done(const std::string& name) override {
    for (const char* part : {"", "_blocks", "_scales"}) {
      const StoredTensor* tensor = checkpoint_->Find(name + part);
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
  // Rows of the stored matrix of which `matrix` may be every step-th.
  static int64_t StoredRows(const StoredMatrix& matrix) {
    return matrix.step * matrix.out_features;
  }

  static std::vector<int64_t> Stacked(const StoredMatrix& matrix, std::vector<int64_t> shape) {
    if (matrix.count > 0) shape.insert(shape.begin(), matrix.count);
    return shape;
  }

  static const void* ElementOf(const StoredTensor& tensor, int64_t index) {
    return static_cast<const char*>(tensor.data()) +
           index * static_cast<int64_t>(DTypeBytes(*tensor.dtype));
  }

  absl::Status FindPlain(const StoredMatrix& matrix, WeightRows& rows) {
    const int64_t stored_rows = StoredRows(matrix);
    const int64_t in = matrix.in_features;
    const std::vector<int64_t> shape = matrix.transposed ? std::vector<int64_t>{in, stored_rows}
                                                         : std::vector<int64_t>{stored_rows, in};
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor* weight, Get(matrix.weight, Stacked(matrix, shape)));
    const int64_t row_stride = matrix.transposed ? 1 : in;
    rows.row_stride = matrix.step * row_stride;
    rows.col_stride = matrix.transposed ? stored_rows : 1;
    rows.weight = ElementOf(*weight, matrix.index * stored_rows * in + matrix.first * row_stride);
    rows.weight_dtype = *weight->dtype;
    if (matrix.index == 0) weight->file->WillRead(weight->begin, weight->bytes);
    return absl::OkStatus();
  }

  // Blocks [rows, in / 32, 16] and scales [rows, in / 32] of bytes.
  absl::Status FindMxfp4(const StoredMatrix& matrix, WeightRows& rows) {
    const int64_t stored_rows = StoredRows(matrix);
    const int64_t row_blocks = matrix.in_features / kMxfp4Block;
    if (matrix.in_features % kMxfp4Block != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(matrix.weight, "_blocks: MXFP4 of ", matrix.in_features,
                       " input features, expected a multiple of ", kMxfp4Block));
    }
    QUIRE_ASSIGN_OR_RETURN(const uint8_t* blocks,
                           GetBytes(matrix.weight + "_blocks",
                                    Stacked(matrix, {stored_rows, row_blocks, kMxfp4Block / 2})));
    QUIRE_ASSIGN_OR_RETURN(
        const uint8_t* scales,
        GetBytes(matrix.weight + "_scales", Stacked(matrix, {stored_rows, row_blocks})));
    const int64_t first_block = (matrix.index * stored_rows + matrix.first) * row_blocks;
    rows.weight = blocks + first_block * kMxfp4Block / 2;
    rows.mxfp4_scales = scales + first_block;
    rows.row_stride = matrix.step * matrix.in_features;
    return absl::OkStatus();
  }

  absl::StatusOr<const StoredTensor*> Find(const std::string& name,
                                           const std::vector<int64_t>& shape) {
    const StoredTensor* tensor = checkpoint_->Find(name);
    if (tensor == nullptr) {
      return absl::NotFoundError(absl::StrCat("the checkpoint lacks the tensor ", name, " ",
                                              ShapeText(shape), " that its config.json calls for"));
    }
    if (tensor->shape != shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          tensor->file->path(), ": ", name, ": has the shape ", ShapeText(tensor->shape),
          ", expected ", ShapeText(shape), " by config.json"));
    }
    return tensor;
  }

  // Of a type that we compute with.
  absl::StatusOr<const StoredTensor*> Get(const std::string& name,
                                          const std::vector<int64_t>& shape) {
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor* tensor, Find(name, shape));
    const std::string where = absl::StrCat(tensor->file->path(), ": ", name, ": ");
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

  absl::StatusOr<const uint8_t*> GetBytes(const std::string& name,
                                          const std::vector<int64_t>& shape) {
    QUIRE_ASSIGN_OR_RETURN(const StoredTensor* tensor, Find(name, shape));
    if (tensor->dtype_name != "U8") {
      return absl::InvalidArgumentError(absl::StrCat(tensor->file->path(), ": ", name,
                                                     ": has the type ", tensor->dtype_name,
                                                     ", expected U8"));
    }
    used_.insert(name);
    return static_cast<const uint8_t*>(tensor->data());
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

  bool Has(const std::string& /*name*/) const override { return true; }

  // A stack's matrices each have their own numbers; how they would be stored makes no difference.
  absl::StatusOr<WeightRows> Rows(const StoredMatrix& matrix) override {
    const int64_t bias = matrix.bias.empty() ? 0 : matrix.out_features;
    const int64_t weights = matrix.out_features * matrix.in_features;
    const std::string seed = absl::StrCat(matrix.weight, " ", matrix.index, " ", matrix.first);
    std::vector<bf16>& values = live_[matrix.weight].emplace_back();
    Fill(matrix.count == 0 && matrix.step == 1 ? matrix.weight : seed, weights + bias, values);
    return WeightRows{.weight = values.data(),
                      .weight_dtype = DType::kBFloat16,
                      .out_features = matrix.out_features,
                      .bias = bias > 0 ? values.data() + weights : nullptr,
                      .bias_dtype = DType::kBFloat16};
  }

  absl::StatusOr<std::vector<float>> Vector(const std::string& /*name*/, int64_t size) override {
    return std::vector<float>(size, 1.0F);
  }
  void Done(const std::string& name) override { live_.erase(name); }
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
  std::map<std::string, std::list<std::vector<bf16>>> live_;
};

class ShapeSource : public WeightSource {
 public:
  explicit ShapeSource(const ModelConfig& config)
      : dtype_(config.checkpoint_dtype.value_or(DType::kBFloat16)) {}

  bool Has(const std::string& /*name*/) const override { return true; }
  absl::StatusOr<WeightRows> Rows(const StoredMatrix& matrix) override {
    static constexpr bf16 kNothing{};
    return WeightRows{.weight = &kNothing,
                      .out_features = matrix.out_features,
                      .bias = matrix.bias.empty() ? nullptr : &kNothing};
  }
  absl::StatusOr<std::vector<float>> Vector(const std::string& /*name*/, int64_t size) override {
    return std::vector<float>(size);
  }
  void Done(const std::string& /*name*/) override {}
  DType stored_dtype() const override { return dtype_; }
  std::vector<std::string> Unused() const override { return {}; }

 private:
  DType dtype_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<WeightSource>> OpenCheckpoint(const std::string& directory) {
  QUIRE_ASSIGN_OR_RETURN(auto checkpoint, SafetensorsCheckpoint::Open(directory));
  return std::make_unique<CheckpointWeights>(std::move(checkpoint));
}

std::unique_ptr<WeightSource> RandomWeights(const ModelConfig& config) {
  return std::make_unique<RandomSource>(config);
}

std::unique_ptr<WeightSource> WeightShapes(const ModelConfig& config) {
  return std::make_unique<ShapeSource>(config);
}

}  // namespace quire
