// Rotation angles of rotary position embeddings.
#ifndef QUIRE_MODEL_ROPE_H_
#define QUIRE_MODEL_ROPE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "attention/attention.h"
#include "core/device_memory.h"

namespace quire {

enum class RopeScaling : uint8_t {
  kNone,
  kLinear,  // positions are divided by `factor`
  kLlama3,  // low frequencies are divided by `factor`, high ones kept, between them a blend
};

struct RopeConfig {
  double theta = 10000.0;
  int rotary_dim = 0;  // even; the first dims of each head
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  // kLlama3 only: bounds in turns over the original context.
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  int64_t original_max_positions = 8192;
};

// Angle per position of each of the rotary_dim / 2 rotated pairs, in fp64. The formulas are those
// of Hugging Face transformers' modeling_rope_utils (Su et al., "RoFormer", 2021; kLlama3 is that
// of the Llama 3.1 release).
std::vector<double> InverseFrequencies(const RopeConfig& config);

// cos and sin of positions [0, max_positions), computed in fp64, stored in fp32, on the device.
class RopeTables {
 public:
  static absl::StatusOr<std::unique_ptr<RopeTables>> Create(const RopeConfig& config,
                                                            int64_t max_positions,
                                                            DeviceMemory& memory);
  static size_t Bytes(const RopeConfig& config, int64_t max_positions) {
    return static_cast<size_t>(max_positions) * config.rotary_dim * sizeof(float);
  }
  const RopeTable& view() const { return view_; }

 private:
  RopeTables() = default;
  DeviceBuffer buffer_;
  RopeTable view_;
};

}  // namespace quire

#endif  // QUIRE_MODEL_ROPE_H_
