#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/check.h"

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

// The dim whose pair makes `turns` turns over the original context.
double YarnDim(const RopeConfig& config, double turns) {
  const double context =
      static_cast<double>(config.original_max_positions) / (turns * 2 * std::numbers::pi);
  return config.rotary_dim * std::log(context) / (2 * std::log(config.theta));
}

// Pairs below the first bound keep their frequency, those above the second are divided.
double ScaleYarn(const RopeConfig& config, size_t pair, double inverse_frequency) {
  double low = YarnDim(config, config.beta_fast);
  double high = YarnDim(config, config.beta_slow);
  if (config.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, config.rotary_dim - 1.0);
  if (low == high) high += 0.001;
  const double divided = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return inverse_frequency * (1 - divided) + inverse_frequency / config.factor * divided;
}

// What theta is multiplied by for a sequence of `length` tokens.
double ThetaGrowth(const RopeConfig& config, int64_t length) {
  double stretch = 1.0;
  if (config.scaling == RopeScaling::kNtk) stretch = config.factor;
  if (config.scaling == RopeScaling::kDynamicNtk && length > config.original_max_positions) {
    stretch = config.factor * static_cast<double>(length) /
                  static_cast<double>(config.original_max_positions) -
              (config.factor - 1);
  }
  return std::pow(stretch, config.rotary_dim / (config.rotary_dim - 2.0));
}

}  // namespace

double YarnMscale(double factor, double weight) {
  return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

double YarnAttentionFactor(const RopeConfig& config) {
  if (config.mscale == 0 || config.mscale_all_dim == 0) return YarnMscale(config.factor);
  return YarnMscale(config.factor, config.mscale) /
         YarnMscale(config.factor, config.mscale_all_dim);
}

double SoftmaxScaleFactor(const RopeConfig& config) {
  if (config.scaling != RopeScaling::kYarn || config.mscale_all_dim == 0) return 1.0;
  const double mscale = YarnMscale(config.factor, config.mscale_all_dim);
  return mscale * mscale;
}

bool DependsOnLength(const RopeConfig& config) {
  return config.scaling == RopeScaling::kDynamicNtk || config.scaling == RopeScaling::kLongRope;
}

int64_t StretchedPositions(const RopeConfig& config, int64_t max_positions) {
  switch (config.scaling) {
    case RopeScaling::kLinear:
    case RopeScaling::kNtk:
    case RopeScaling::kDynamicNtk:
      // Whether the file's number counts the stretch already is not said anywhere.
      return static_cast<int64_t>(static_cast<double>(max_positions) *
                                  std::max(1.0, config.factor));
    case RopeScaling::kYarn: {
      const double made_for = static_cast<double>(config.original_max_positions) * config.factor;
      return std::max(max_positions, static_cast<int64_t>(made_for));
    }
    default:
      return max_positions;
  }
}

std::vector<double> InverseFrequencies(const RopeConfig& config, int64_t length) {
  std::vector<double> frequencies(config.rotary_dim / 2);
  FillInverseFrequencies(config, length, absl::MakeSpan(frequencies));
  return frequencies;
}

void FillInverseFrequencies(const RopeConfig& config, int64_t length,
                            absl::Span<double> frequencies) {
  QUIRE_CHECK_EQ(static_cast<int>(frequencies.size()), config.rotary_dim / 2);
  const double theta = config.theta * ThetaGrowth(config, length);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / config.rotary_dim;
    const double plain = std::pow(theta, -exponent);
    switch (config.scaling) {
      case RopeScaling::kNone:
      case RopeScaling::kNtk:
      case RopeScaling::kDynamicNtk:
        frequencies[i] = plain;
        break;
      case RopeScaling::kLinear:
        frequencies[i] = plain / config.factor;
        break;
      case RopeScaling::kLlama3:
        frequencies[i] = ScaleLlama3(config, plain);
        break;
      case RopeScaling::kYarn:
        frequencies[i] = ScaleYarn(config, i, plain);
        break;
      case RopeScaling::kLongRope:
        frequencies[i] = plain / (length > config.original_max_positions ? config.long_factor
                                                                         : config.short_factor)[i];
        break;
      case RopeScaling::kProportional:
        frequencies[i] = static_cast<int>(i) < config.rotated_pairs ? plain / config.factor : 0.0;
        break;
    }
  }
}

void FillRopeRow(const std::vector<double>& frequencies, double attention_factor, int64_t position,
                 float* cos, float* sin) {
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    cos[i] = static_cast<float>(attention_factor * std::cos(angle));
    sin[i] = static_cast<float>(attention_factor * std::sin(angle));
  }
}

}  // namespace quire
