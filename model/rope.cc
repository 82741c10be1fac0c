#include "model/rope.h"

#include <cmath>
#include <numbers>

#include "core/status_macros.h"

namespace quire {
namespace {

double ScaleLlama3(const RopeConfig& config, double inverse_frequency) {
  const double wavelength = 2 * std::numbers::pi / inverse_frequency;
  const auto context = static_cast<double>(config.original_max_positions);
  if (wavelength < context / config.high_freq_factor) return inverse_frequency;
  if (wavelength > context / config.low_freq_factor) return inverse_frequency / config.factor;
  const double keep = (context / wavelength - config.low_freq_factor) /
                      (config.high_freq_factor - config.low_freq_factor);
  return (1 - keep) * inverse_frequency / config.factor + keep * inverse_frequency;
}

}  // namespace

std::vector<double> InverseFrequencies(const RopeConfig& config) {
  std::vector<double> frequencies(config.rotary_dim / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / config.rotary_dim;
    const double plain = std::pow(config.theta, -exponent);
    switch (config.scaling) {
      case RopeScaling::kNone:
        frequencies[i] = plain;
        break;
      case RopeScaling::kLinear:
        frequencies[i] = plain / config.factor;
        break;
      case RopeScaling::kLlama3:
        frequencies[i] = ScaleLlama3(config, plain);
        break;
    }
  }
  return frequencies;
}

absl::StatusOr<std::unique_ptr<RopeTables>> RopeTables::Create(const RopeConfig& config,
                                                               int64_t max_positions,
                                                               DeviceMemory& memory) {
  const std::vector<double> frequencies = InverseFrequencies(config);
  const size_t half = frequencies.size();
  const size_t elements = static_cast<size_t>(max_positions) * half;
  std::vector<float> tables(2 * elements);  // cos, then sin
  for (int64_t position = 0; position < max_positions; ++position) {
    for (size_t i = 0; i < half; ++i) {
      const double angle = static_cast<double>(position) * frequencies[i];
      tables[position * half + i] = static_cast<float>(std::cos(angle));
      tables[elements + position * half + i] = static_cast<float>(std::sin(angle));
    }
  }
  std::unique_ptr<RopeTables> made(new RopeTables);
  QUIRE_ASSIGN_OR_RETURN(made->buffer_,
                         memory.Allocate(tables.size() * sizeof(float), "rope tables"));
  memory.CopyFromHost(made->buffer_.data(), tables.data(), tables.size() * sizeof(float));
  const auto* base = static_cast<const float*>(made->buffer_.data());
  made->view_ = {.cos = base,
                 .sin = base + elements,
                 .num_rows = max_positions,
                 .rotary_dim = config.rotary_dim};
  return made;
}

}  // namespace quire
