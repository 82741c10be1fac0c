#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "bench/gpu/linears.h"
#include "bench/gpu/op_bench.h"
#include "core/ceil_div.h"
#include "core/check.h"

namespace quire::gpu_bench {
namespace {

constexpr double kActBytes = 2;

// Entries of `query_tokens` rows each, at the end of `kv_tokens`, over shuffled pages of random
// numbers; in so many copies that no cache holds all of them.
class PagedBatch {
 public:
  PagedBatch(RandomMemory& memory, const KvPageLayout& layout, int64_t entries,
             int64_t query_tokens, int64_t kv_tokens)
      : layout_(layout),
        rows_(entries * query_tokens),
        entry_pages_(CeilDiv(kv_tokens, int64_t{layout.block_tokens})) {
    const int64_t pages = entries * entry_pages_;
    copies_ = memory.Copies(static_cast<double>(pages) * static_cast<double>(layout.page_bytes()));
    pool_ = memory.Numbers(layout.dtype, copies_ * pages * layout.page_elements());
    Host host;
    host.blocks.resize(copies_ * pages);
    std::iota(host.blocks.begin(), host.blocks.end(), 0);
    std::shuffle(host.blocks.begin(), host.blocks.end(), std::mt19937(1));
    for (int64_t e = 0; e <= entries; ++e) {
      host.query_start.push_back(static_cast<int32_t>(e * query_tokens));
      host.table_start.push_back(static_cast<int32_t>(e * entry_pages_));
    }
    host.first_block.assign(entries, 0);
    host.kv_len.assign(entries, static_cast<int32_t>(kv_tokens));
    for (int64_t e = 0; e < entries; ++e) {
      for (int64_t p = kv_tokens - query_tokens; p < kv_tokens; ++p) {
        const int64_t block = host.blocks[e * entry_pages_ + p / layout.block_tokens];
        host.positions.push_back(static_cast<int32_t>(p));
        host.slots.push_back(block * layout.block_tokens + p % layout.block_tokens);
      }
    }
    host_ = std::move(host);
    // Borrowed by the views.
    for (const auto* array : {&host_.query_start, &host_.kv_len, &host_.positions,
                              &host_.table_start, &host_.first_block, &host_.blocks}) {
      on_device_.push_back(memory.Copied(*array));
    }
    slots_ = memory.Copied(host_.slots);
    for (int64_t copy = 0; copy < copies_; ++copy)
      host_views_.push_back(HostView(copy * pages, pages));
    for (int64_t copy = 0; copy < copies_; ++copy) {
      views_.push_back(DeviceView(host_views_[copy], copy * pages));
    }
  }

  int64_t rows() const { return rows_; }
  const AttentionBatch& at(int64_t i) const { return views_[i % copies_]; }
  PagedKvView kv() const {
    return {pool_.data(), static_cast<int64_t>(layout_.page_bytes()),
            static_cast<int64_t>(host_.blocks.size()), layout_};
  }

 private:
  struct Host {
    std::vector<int32_t> query_start, kv_len, positions, table_start, first_block, blocks;
    std::vector<int64_t> slots;
  };

  template <typename T>
  static DeviceArray<const T> Array(const T* data, size_t size) {
    return {data, static_cast<int64_t>(size)};
  }
  AttentionBatch HostView(int64_t first_block, int64_t pages) const {
    return {.query_start = Array(host_.query_start.data(), host_.query_start.size()),
            .kv_len = Array(host_.kv_len.data(), host_.kv_len.size()),
            .positions = Array(host_.positions.data(), host_.positions.size()),
            .rope_rows = Array(host_.positions.data(), host_.positions.size()),
            .slots = Array(host_.slots.data(), host_.slots.size()),
            .table_start = Array(host_.table_start.data(), host_.table_start.size()),
            .first_block = Array(host_.first_block.data(), host_.first_block.size()),
            .blocks = Array(host_.blocks.data() + first_block, pages)};
  }
  // In the order in which they were copied.
  AttentionBatch DeviceView(const AttentionBatch& host, int64_t first_block) const {
    const auto at = [&](size_t i) { return static_cast<const int32_t*>(on_device_[i].data()); };
    AttentionBatch view = host;
    view.query_start.data = at(0);
    view.kv_len.data = at(1);
    view.positions.data = at(2);
    view.rope_rows.data = at(2);
    view.slots.data = static_cast<const int64_t*>(slots_.data());
    view.table_start.data = at(3);
    view.first_block.data = at(4);
    view.blocks.data = at(5) + first_block;
    view.on_host = &host;
    return view;
  }

  KvPageLayout layout_;
  int64_t rows_;
  int64_t entry_pages_;
  int64_t copies_ = 1;
  Host host_;
  DeviceBuffer pool_;
  DeviceBuffer slots_;
  std::vector<DeviceBuffer> on_device_;
  std::vector<AttentionBatch> host_views_, views_;
};

// Tables of angles for all positions.
class Angles {
 public:
  Angles(RandomMemory& memory, int64_t positions, int rotary_dim, bool interleaved) {
    const int64_t half = rotary_dim / 2;
    std::vector<float> cos, sin;
    for (int64_t i = 0; i < positions * half; ++i) {
      cos.push_back(std::cos(static_cast<float>(i % 6283) * 1e-3F));
      sin.push_back(std::sin(static_cast<float>(i % 6283) * 1e-3F));
    }
    cos_ = memory.Copied(cos);
    sin_ = memory.Copied(sin);
    table_ = {.cos = static_cast<const float*>(cos_.data()),
              .sin = static_cast<const float*>(sin_.data()),
              .num_rows = positions,
              .rotary_dim = rotary_dim,
              .interleaved = interleaved};
  }
  const RopeTable& table() const { return table_; }

 private:
  DeviceBuffer cos_, sin_;
  RopeTable table_;
};

// A batch of one row in each of `rows` sequences, or of one prompt; where its pages are.
struct Entries {
  int64_t count;
  int64_t rows;
};

// What both kinds of attention are asked for.
class AttentionBench {
 public:
  AttentionBench(OpBench& bench, const KvPageLayout& layout) : bench_(bench), layout_(layout) {}
  virtual ~AttentionBench() = default;

  void Run() {
    for (int64_t rows : bench_.sizes.decode_rows) RunWrite({rows, 1}, bench_.sizes.contexts[0]);
    for (int64_t rows : bench_.sizes.prompt_rows) RunWrite({1, rows}, rows);
    for (int64_t rows : bench_.sizes.decode_rows) {
      for (int64_t context : bench_.sizes.contexts) RunOne("decode", {rows, 1}, context);
    }
    for (int64_t rows : bench_.sizes.prompt_rows) RunOne("prefill", {1, rows}, rows);
  }

 protected:
  virtual Work WriteWork(double rows) const = 0;
  virtual void Write(const PagedBatch& batch, int64_t i) = 0;
  // Of rows that see `keys` keys, all rows together; `read`: those that are in the cache.
  virtual Work AttentionWork(double rows, double keys, double read, bool generated) const = 0;
  virtual void Attend(const PagedBatch& batch, int64_t i, bool generated) = 0;
  // Takes the matrices of `rows` rows.
  virtual void Take(int64_t rows) = 0;

  OpBench& bench_;

 private:
  bool Fits(const Entries& entries, int64_t context) const {
    return bench_.memory.HasRoom(
        static_cast<double>(entries.count) *
        static_cast<double>(CeilDiv(context, int64_t{layout_.block_tokens})) *
        static_cast<double>(layout_.page_bytes()));
  }

  void RunWrite(const Entries& entries, int64_t context) {
    const int64_t rows = entries.count * entries.rows;
    const std::string shape = absl::StrCat("M=", rows, entries.rows > 1 ? " prompt" : "");
    if (!Fits(entries, context)) return bench_.report.LeaveOut("norm+rope+write", shape, "no room");
    const PagedBatch batch(bench_.memory, layout_, entries.count, entries.rows, context);
    Take(rows);
    bench_.Measure("norm+rope+write", shape, rows, WriteWork(static_cast<double>(rows)),
                   [&](int64_t i) { Write(batch, i); });
  }

  void RunOne(const std::string& op, const Entries& entries, int64_t context) {
    const bool generated = op == "decode";
    const int64_t rows = entries.count * entries.rows;
    const std::string shape = absl::StrCat("M=", rows, " context ", context);
    if (!Fits(entries, context)) return bench_.report.LeaveOut(op, shape, "no room");
    const PagedBatch batch(bench_.memory, layout_, entries.count, entries.rows, context);
    Take(rows);
    const auto read = static_cast<double>(entries.count) * static_cast<double>(context);
    // What is derived from the batch once, for all layers, is not a layer's.
    bench_.backend.attention().BeginBatch();
    const double keys =
        generated ? read : 0.5 * static_cast<double>(rows) * static_cast<double>(rows + 1);
    bench_.Measure(op, shape, rows, AttentionWork(static_cast<double>(rows), keys, read, generated),
                   [&](int64_t i) { Attend(batch, i, generated); });
  }

  KvPageLayout layout_;
};

class GqaBench : public AttentionBench {
 public:
  explicit GqaBench(OpBench& bench)
      : AttentionBench(bench, Layout(bench)),
        shape_(bench.model.attention_shape(0)),
        angles_(bench.memory, bench.sizes.most_context(), bench.model.ropes[0].rotary_dim,
                bench.model.ropes[0].interleaved) {
    const std::vector<float> ones(shape_.head_dim * shape_.num_heads, 1.0F);
    weights_ = bench.memory.Copied(ones);
  }

 private:
  static KvPageLayout Layout(const OpBench& bench) {
    return {bench.model.num_kv_heads, bench.model.head_dim, bench.model.value_dim,
            bench.backend.default_block_tokens(), kAct};
  }

  double KvBytes() const {
    return kActBytes * shape_.num_kv_heads * (shape_.head_dim + shape_.value_dim);
  }
  double QueryBytes() const { return kActBytes * shape_.num_heads * shape_.head_dim; }

  void Take(int64_t rows) override {
    qkv_ = bench_.memory.Rotating(kAct, rows, shape_.qkv_width());
    out_ = bench_.memory.Rotating(kAct, rows, shape_.out_width());
  }
  Work WriteWork(double rows) const override { return {2 * rows * (KvBytes() + QueryBytes()), 0}; }
  void Write(const PagedBatch& batch, int64_t i) override {
    const bool has_norm = bench_.model.qk_norm != QkNorm::kNone;
    const float* const weights = has_norm ? static_cast<const float*>(weights_.data()) : nullptr;
    bench_.backend.attention().NormRopeWrite({.qkv = qkv_.at(i),
                                              .shape = shape_,
                                              .qk_norm = bench_.model.qk_norm,
                                              .q_norm = weights,
                                              .k_norm = weights,
                                              .rope = angles_.table(),
                                              .kv = batch.kv()},
                                             batch.at(i));
  }
  Work AttentionWork(double rows, double keys, double read, bool /*generated*/) const override {
    return {read * KvBytes() + rows * (QueryBytes() + kActBytes * double(shape_.out_width())),
            2 * keys * shape_.num_heads * (shape_.head_dim + shape_.value_dim)};
  }
  void Attend(const PagedBatch& batch, int64_t i, bool generated) override {
    bench_.backend.attention().Gqa({.qkv = qkv_.at(i),
                                    .out = out_.at(i),
                                    .shape = shape_,
                                    .scale = bench_.model.attention_scale,
                                    .kv = batch.kv(),
                                    .num_generated = generated ? batch.rows() : 0},
                                   batch.at(i));
  }

  GqaShape shape_;
  Angles angles_;
  DeviceBuffer weights_;
  RandomMemory::Matrix qkv_, out_;
};

class MlaBench : public AttentionBench {
 public:
  MlaBench(OpBench& bench, std::unique_ptr<Mla> mla)
      : AttentionBench(bench, {1, bench.model.mla->shape.cache_dim(), 0,
                               bench.backend.default_block_tokens(), kAct}),
        shape_(bench.model.mla->shape),
        mla_(std::move(mla)),
        angles_(bench.memory, bench.sizes.most_context(), shape_.rope_dim,
                bench.model.ropes[0].interleaved),
        norm_(bench.memory.Copied(std::vector<float>(shape_.latent_dim, 1.0F))),
        expand_(RandomLinear(bench.backend.ops(), shape_.expanded_width(), shape_.latent_dim)) {
    bench.backend.ops().Prepare(*expand_, kAct);
  }

 private:
  double RowBytes() const { return kActBytes * shape_.cache_dim(); }

  void Take(int64_t rows) override {
    q_ = bench_.memory.Rotating(kAct, rows, shape_.q_width());
    latent_ = bench_.memory.Rotating(kAct, rows, shape_.cache_dim());
    q_latent_ = bench_.memory.Rotating(DType::kFloat32, rows, shape_.latent_width());
    out_ = bench_.memory.Rotating(kAct, rows, std::max(shape_.latent_width(), shape_.out_width()));
  }
  Work WriteWork(double rows) const override {
    return {2 * rows * (RowBytes() + kActBytes * shape_.num_heads * shape_.rope_dim), 0};
  }
  void Write(const PagedBatch& batch, int64_t i) override {
    mla_->NormRopeWrite({.latent = latent_.at(i),
                         .q = q_.at(i),
                         .shape = shape_,
                         .latent_norm = static_cast<const float*>(norm_.data()),
                         .rope = angles_.table(),
                         .kv = batch.kv()},
                        batch.at(i));
  }
  // A generated row multiplies with latents; a prompt's with keys and values that are made of them.
  Work AttentionWork(double rows, double keys, double read, bool generated) const override {
    const double heads = shape_.num_heads;
    if (generated) {
      return {read * RowBytes() + rows * heads * shape_.latent_dim * (4 + kActBytes),
              2 * keys * heads * (2 * shape_.latent_dim + shape_.rope_dim)};
    }
    return {read * RowBytes() + rows * kActBytes * double(shape_.q_width() + shape_.out_width()),
            2 * heads *
                (keys * (shape_.head_dim() + shape_.value_dim) +
                 read * shape_.latent_dim * (shape_.nope_dim + shape_.value_dim))};
  }
  void Attend(const PagedBatch& batch, int64_t i, bool generated) override {
    const float scale = bench_.model.mla->scale;
    if (generated) {
      mla_->Absorbed({.q_latent = q_latent_.at(i),
                      .q = q_.at(i),
                      .out = out_.at(i).Columns(0, shape_.latent_width()),
                      .shape = shape_,
                      .scale = scale,
                      .kv = batch.kv()},
                     batch.at(i));
      return;
    }
    mla_->Prefill({.q = q_.at(i),
                   .out = out_.at(i).Columns(0, shape_.out_width()),
                   .shape = shape_,
                   .scale = scale,
                   .kv = batch.kv()},
                  batch.at(i), [&](const DeviceMatrix& latent, const DeviceMatrix& kv) {
                    bench_.backend.ops().Apply(*expand_, latent, kv);
                  });
  }

  MlaShape shape_;
  std::unique_ptr<Mla> mla_;
  Angles angles_;
  DeviceBuffer norm_;
  std::unique_ptr<Linear> expand_;
  RandomMemory::Matrix q_, latent_, q_latent_, out_;
};

}  // namespace

void RunAttention(OpBench& bench) {
  if (!bench.model.mla) {
    GqaBench(bench).Run();
    return;
  }
  auto mla = bench.backend.MakeMla({.shape = bench.model.mla->shape,
                                    .max_rows = bench.sizes.most_rows(),
                                    .max_context = bench.sizes.most_context(),
                                    .cache_dtype = kAct});
  QUIRE_CHECK(mla.ok()) << mla.status();
  MlaBench(bench, *std::move(mla)).Run();
}

}  // namespace quire::gpu_bench
