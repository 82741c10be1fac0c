// The block of latent attention against its formulas, written out naively in fp64.
#include "model/mla_block.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "attention/cpu/cpu_mla.h"
#include "core/cpu/host_memory.h"
#include "core/cpu/thread_pool.h"
#include "gtest/gtest.h"
#include "ops/cpu/cpu_ops.h"
#include "tests/testing/isas.h"
#include "tests/testing/matrix.h"
#include "tests/testing/paged_kv.h"

namespace quire {
namespace {

using ::quire::testing::HostMatrix;
using ::quire::testing::PagedKv;
using ::quire::testing::RopeTables;

constexpr int kHidden = 48;
constexpr int kTokens = 40;

// A matrix [rows, cols] of the checkpoint, with rows of norm about 1.
struct Matrix {
  int64_t rows;
  int64_t cols;
  std::vector<float> values;

  Matrix(int64_t num_rows, int64_t num_cols, uint32_t seed) : rows(num_rows), cols(num_cols) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, 1.0F / std::sqrt(static_cast<float>(cols)));
    values.resize(rows * cols);
    for (float& v : values) v = normal(random);
  }
  WeightRows part() const {
    WeightRows made;
    made.weight = values.data();
    made.weight_dtype = DType::kFloat32;
    made.out_features = rows;
    return made;
  }
  std::vector<double> Times(const std::vector<double>& x) const {
    std::vector<double> y(rows, 0.0);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < cols; ++c) y[r] += double{values[r * cols + c]} * x[c];
    }
    return y;
  }
};

struct Checkpoint {
  MlaConfig config;
  Matrix query_down;  // q_a_proj, or q_proj where there is no rank
  Matrix query_up;    // q_b_proj
  Matrix kv_down;     // kv_a_proj_with_mqa
  Matrix kv_up;       // kv_b_proj
  Matrix output;      // o_proj
  std::vector<float> query_norm, latent_norm;

  explicit Checkpoint(const MlaConfig& made)
      : config(made),
        query_down(config.down_query_width(), kHidden, 1),
        query_up(config.shape.q_width(), std::max(2, config.query_rank), 2),
        kv_down(config.shape.latent_dim + (config.shape.rope_per_head ? 0 : config.shape.rope_dim),
                kHidden, 3),
        kv_up(config.shape.num_heads * (KeyRows() + config.shape.value_dim),
              config.shape.latent_dim, 4),
        output(kHidden, config.shape.out_width(), 5) {
    for (int i = 0; i < config.query_rank; ++i) query_norm.push_back(0.5F + 0.02F * i);
    for (int i = 0; i < config.shape.latent_dim; ++i) latent_norm.push_back(1.5F - 0.01F * i);
  }
  // Of a head in kv_up.
  int KeyRows() const {
    return config.shape.rope_per_head ? config.shape.head_dim() : config.shape.nope_dim;
  }

  MlaWeights Load(DType act_dtype, Ops& ops) const {
    const auto linear = [&](std::vector<WeightRows> parts, int64_t in_features) {
      return ops
          .MakeLinear({.name = "test",
                       .in_features = in_features,
                       .parts = std::move(parts),
                       .act_dtype = act_dtype})
          .value();
    };
    MlaWeights weights;
    weights.down = linear({query_down.part(), kv_down.part()}, kHidden);
    if (config.query_rank > 0) {
      weights.query_norm.kind = NormKind::kRms;
      weights.query_norm.weight = ops.MakeVector(query_norm).value();
      weights.query_norm.eps = config.norm_eps;
      weights.query_up = linear({query_up.part()}, config.query_rank);
    }
    weights.latent_norm = ops.MakeVector(latent_norm).value();
    weights.up = MakeMlaUpWeights(config.shape, kv_up.part(), "kv_b_proj", act_dtype, ops).value();
    weights.output = linear({output.part()}, config.shape.out_width());
    return weights;
  }
};

std::vector<double> RmsNorm(std::vector<double> x, const std::vector<float>& weight, double eps) {
  double sum = 0.0;
  for (double v : x) sum += v * v;
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(x.size()) + eps);
  for (size_t i = 0; i < x.size(); ++i) x[i] *= scale * weight[i];
  return x;
}

void Rotate(double* x, const RopeTable& rope, int64_t position) {
  for (int i = 0; i < rope.rotary_dim / 2; ++i) {
    const double cos = rope.cos[position * (rope.rotary_dim / 2) + i];
    const double sin = rope.sin[position * (rope.rotary_dim / 2) + i];
    const double a = x[2 * i];
    const double b = x[2 * i + 1];
    x[2 * i] = a * cos - b * sin;
    x[2 * i + 1] = b * cos + a * sin;
  }
}

// The last `rows` rows of attention over `tokens` inputs [tokens][E], un-absorbed.
std::vector<std::vector<double>> Formulas(const Checkpoint& c, const RopeTable& rope,
                                          const HostMatrix& inputs) {
  const MlaShape& s = c.config.shape;
  const int dim = s.head_dim();
  const int64_t tokens = inputs.view().rows;
  std::vector<std::vector<double>> q, keys, values, out;
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<double> x(kHidden);
    for (int i = 0; i < kHidden; ++i) x[i] = inputs.at(t, i);
    std::vector<double> query = c.query_down.Times(x);
    if (c.config.query_rank > 0) {
      query = c.query_up.Times(RmsNorm(query, c.query_norm, c.config.norm_eps));
    }
    const std::vector<double> down = c.kv_down.Times(x);
    std::vector<double> latent(down.begin(), down.begin() + s.latent_dim);
    if (c.config.latent_norm) latent = RmsNorm(latent, c.latent_norm, c.config.norm_eps);
    const std::vector<double> up = c.kv_up.Times(latent);
    std::vector<double> key, value;
    for (int h = 0; h < s.num_heads; ++h) {
      const auto head = up.begin() + h * (c.KeyRows() + s.value_dim);
      key.insert(key.end(), head, head + c.KeyRows());
      if (!s.rope_per_head) key.insert(key.end(), down.begin() + s.latent_dim, down.end());
      value.insert(value.end(), head + c.KeyRows(), head + c.KeyRows() + s.value_dim);
      const int turned = h * dim + (s.rope_per_head ? 0 : s.nope_dim);
      Rotate(query.data() + turned, rope, t);
      Rotate(key.data() + turned, rope, t);
    }
    q.push_back(query);
    keys.push_back(key);
    values.push_back(value);
    std::vector<double> attended(s.out_width(), 0.0);
    for (int h = 0; h < s.num_heads; ++h) {
      std::vector<double> p(t + 1);
      double total = 0.0;
      for (int64_t j = 0; j <= t; ++j) {
        double dot = 0.0;
        for (int d = h * dim; d < (h + 1) * dim; ++d) dot += q[t][d] * keys[j][d];
        total += p[j] = std::exp(dot * c.config.scale);
      }
      for (int64_t j = 0; j <= t; ++j) {
        for (int d = h * s.value_dim; d < (h + 1) * s.value_dim; ++d) {
          attended[d] += p[j] / total * values[j][d];
        }
      }
    }
    out.push_back(c.output.Times(attended));
  }
  return out;
}

// A block and what it stands on.
class Machine {
 public:
  Machine(CpuIsa isa, const Checkpoint& checkpoint, DType dtype, int64_t max_rows = kTokens)
      : config_(checkpoint.config), dtype_(dtype) {
    ops_ = MakeCpuOps(pool_, memory_, isa, {.max_rows = max_rows});
    mla_ = MakeCpuMla(pool_, memory_, isa,
                      {.shape = config_.shape, .max_rows = max_rows, .cache_dtype = dtype})
               .value();
    weights_ = checkpoint.Load(dtype, *ops_);
    block_ = MlaBlock::Create(config_, dtype, max_rows, *ops_, *mla_, memory_).value();
  }

  // Rows of `batch`, which are the same rows of `inputs`; generated ones first.
  HostMatrix Forward(const AttentionBatch& batch, int64_t generated, const PagedKv& kv,
                     const RopeTable& rope, const DeviceMatrix& inputs) {
    HostMatrix delta(DType::kFloat32, inputs.rows, kHidden);
    block_->Forward(weights_, {batch, generated, rope, kv.view()}, inputs, delta.view());
    return delta;
  }

 private:
  MlaConfig config_;
  DType dtype_;
  ThreadPool pool_{2};
  HostMemory memory_{pool_};
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Mla> mla_;
  MlaWeights weights_;
  std::unique_ptr<MlaBlock> block_;
};

struct BlockCase {
  const char* name;
  MlaConfig config;
};

const BlockCase kCases[] = {
    {"QueryOfLowRank", {{4, 32, 16, 8, 24}, 24, true, 1e-5F, 0.3F}},
    {"DirectQuery", {{4, 32, 16, 8, 24}, 0, true, 1e-5F, 0.3F}},
    {"NoLatentNorm", {{4, 32, 16, 8, 24}, 24, false, 1e-5F, 0.3F}},
    {"RopePerHead", {{4, 32, 16, 8, 24, true}, 0, false, 1e-5F, 0.3F}},
    {"RopePerHeadQueryOfLowRank", {{4, 32, 16, 8, 24, true}, 24, false, 1e-5F, 0.3F}},
};

class MlaBlockTest : public ::testing::TestWithParam<std::tuple<CpuIsa, const BlockCase*>> {
 protected:
  MlaBlockTest() : checkpoint_(std::get<1>(GetParam())->config), tables_(kTokens, 8) {
    rope_ = tables_.view();
    rope_.interleaved = true;
  }
  GqaShape CacheShape() const {
    const MlaShape& shape = checkpoint_.config.shape;
    return {shape.num_heads, 1, shape.cache_dim(), 0, 0};
  }
  CpuIsa isa() const { return std::get<0>(GetParam()); }

  Checkpoint checkpoint_;
  RopeTables tables_;
  RopeTable rope_;
};

// Numbers of size 1 pass four products of up to 96 terms, each of which rounds its sum once a term.
constexpr double kFp32Error = 4 * 96 * 0x1p-24 * 4;

TEST_P(MlaBlockTest, PromptRowsFollowTheFormulas) {
  HostMatrix inputs(DType::kFloat32, kTokens, kHidden);
  inputs.FillNormal(9);
  const auto want = Formulas(checkpoint_, rope_, inputs);
  PagedKv kv(CacheShape(), 16, DType::kFloat32, {{kTokens, kTokens}});
  Machine machine(isa(), checkpoint_, DType::kFloat32);
  const HostMatrix got = machine.Forward(kv.batch(), 0, kv, rope_, inputs.view());
  for (int64_t t = 0; t < kTokens; ++t) {
    for (int64_t i = 0; i < kHidden; ++i) ASSERT_NEAR(got.at(t, i), want[t][i], kFp32Error) << t;
  }
}

TEST_P(MlaBlockTest, GeneratedRowsFollowTheFormulas) {
  HostMatrix inputs(DType::kFloat32, kTokens, kHidden);
  inputs.FillNormal(9);
  const auto want = Formulas(checkpoint_, rope_, inputs);
  PagedKv kv(CacheShape(), 16, DType::kFloat32, {{kTokens, kTokens}});
  Machine machine(isa(), checkpoint_, DType::kFloat32);
  for (int32_t begin : {0, 30, 31, 32}) {
    const int32_t end = begin == 0 ? 30 : begin == 32 ? kTokens : begin + 1;
    PagedKv::SliceStorage storage;
    const HostMatrix got =
        machine.Forward(kv.Slice(0, begin, end, storage), begin == 0 ? 0 : end - begin, kv, rope_,
                        inputs.view().Rows(begin, end - begin));
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < kHidden; ++i) {
        ASSERT_NEAR(got.at(t - begin, i), want[t][i], kFp32Error) << t;
      }
    }
  }
}

TEST_P(MlaBlockTest, GeneratedAndPromptRowsShareABatch) {
  HostMatrix inputs(DType::kFloat32, kTokens, kHidden);
  inputs.FillNormal(9);
  Machine machine(isa(), checkpoint_, DType::kFloat32);
  // Entry 0 is the first five rows, generated; entry 1 the others, a prompt.
  PagedKv kv(CacheShape(), 16, DType::kFloat32, {{5, 5}, {kTokens - 5, kTokens - 5}});
  const HostMatrix both = machine.Forward(kv.batch(), 5, kv, rope_, inputs.view());
  PagedKv::SliceStorage storage;
  const HostMatrix generated =
      machine.Forward(kv.Slice(0, 0, 5, storage), 5, kv, rope_, inputs.view().Rows(0, 5));
  const HostMatrix prompt = machine.Forward(kv.Slice(1, 0, kTokens - 5, storage), 0, kv, rope_,
                                            inputs.view().Rows(5, kTokens - 5));
  for (int64_t t = 0; t < kTokens; ++t) {
    EXPECT_TRUE(t < 5 ? both.SameRowBits(t, generated, t) : both.SameRowBits(t, prompt, t - 5))
        << t;
  }
}

TEST_P(MlaBlockTest, ChunksOfAPromptDoNotMatter) {
  HostMatrix inputs(DType::kBFloat16, kTokens, kHidden);
  inputs.FillNormal(9);
  PagedKv whole_kv(CacheShape(), 16, DType::kBFloat16, {{kTokens, kTokens}});
  PagedKv kv(CacheShape(), 16, DType::kBFloat16, {{kTokens, kTokens}});
  Machine machine(isa(), checkpoint_, DType::kBFloat16);
  Machine small(isa(), checkpoint_, DType::kBFloat16, 7);
  const HostMatrix whole = machine.Forward(whole_kv.batch(), 0, whole_kv, rope_, inputs.view());
  for (int32_t begin = 0; begin < kTokens; begin += 7) {
    const int32_t end = std::min(begin + 7, kTokens);
    PagedKv::SliceStorage storage;
    const HostMatrix chunk = small.Forward(kv.Slice(0, begin, end, storage), 0, kv, rope_,
                                           inputs.view().Rows(begin, end - begin));
    for (int64_t t = begin; t < end; ++t) EXPECT_TRUE(chunk.SameRowBits(t - begin, whole, t)) << t;
  }
}

std::vector<const BlockCase*> AllCases() {
  std::vector<const BlockCase*> cases;
  for (const BlockCase& c : kCases) cases.push_back(&c);
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Isa, MlaBlockTest,
                         ::testing::Combine(testing::AllIsas(), ::testing::ValuesIn(AllCases())),
                         [](const ::testing::TestParamInfo<MlaBlockTest::ParamType>& info) {
                           return std::string(CpuIsaName(std::get<0>(info.param))) + "_" +
                                  std::get<1>(info.param)->name;
                         });

}  // namespace
}  // namespace quire
