// Reads single weights of a checkpoint onto the device: what the loaders of a model's parts share.
#ifndef QUIRE_MODEL_WEIGHT_LOADER_H_
#define QUIRE_MODEL_WEIGHT_LOADER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "model/model_config.h"
#include "model/weight_source.h"
#include "ops/ops.h"
#include "ops/weight_maker.h"

namespace quire {

// Told the bytes of the parameters, in the type that the model computes in, that have been loaded:
// 0 at first, then after each matrix.
using LoadProgress = std::function<void(int64_t done_bytes, int64_t total_bytes)>;

struct MlpWeights {
  std::unique_ptr<Linear> up;    // E -> 2 F: gate, up; or E -> F where there is no gate
  std::unique_ptr<Linear> down;  // F -> E
};

// A matrix of the checkpoint that becomes rows of a merged one.
struct Part {
  std::string name;  // without ".weight" and ".bias"
  int64_t out_features;
  bool has_bias = false;
  bool transposed = false;  // stored [in, out]
};

class WeightLoader {
 public:
  WeightLoader(const ModelConfig& config, DType act_dtype, WeightSource& source, WeightMaker& maker,
               const LoadProgress& progress);

  // One linear from the parts' rows, in order.
  absl::StatusOr<std::unique_ptr<Linear>> Merge(const std::string& name, int64_t in_features,
                                                const std::vector<Part>& parts);
  // The same from any stored matrices, whose memory stays until Finish.
  absl::StatusOr<std::unique_ptr<Linear>> MergeStored(const std::string& name,
                                                      const std::vector<StoredMatrix>& parts);
  // A matrix as it is stored; its memory stays until Finish.
  absl::StatusOr<WeightRows> Stored(const StoredMatrix& matrix) { return source_.Rows(matrix); }
  // The tensors have been packed: their memory may go.
  void Finish(const std::vector<std::string>& tensors, int64_t parameters);

  absl::StatusOr<MlpWeights> LoadMlp(const std::string& name, const std::vector<Part>& up,
                                     const Part& down);
  absl::StatusOr<std::unique_ptr<Embedding>> LoadTable(const std::string& name, int64_t rows,
                                                       int64_t width);
  // As the model's norms are.
  absl::StatusOr<Norm> LoadNorm(const std::string& name, int64_t size);
  absl::StatusOr<Norm> LoadRmsNorm(const std::string& name, int64_t size, float eps);
  // The weights of norms of `size` dims each, one after the other.
  absl::StatusOr<DeviceVector> LoadNormWeights(const std::vector<std::string>& names, int64_t size);
  // A tensor by its whole name.
  absl::StatusOr<DeviceVector> LoadVector(const std::string& tensor, int64_t size);

  const ModelConfig& config() const { return config_; }
  DType act_dtype() const { return act_dtype_; }
  WeightMaker& maker() { return maker_; }

 private:
  const ModelConfig& config_;
  DType act_dtype_;
  WeightSource& source_;
  WeightMaker& maker_;
  const LoadProgress& progress_;
  int64_t bytes_each_;  // of a parameter
  int64_t total_;       // parameters
  int64_t done_ = 0;
};

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHT_LOADER_H_
