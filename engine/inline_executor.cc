#include "core/check.h"
#include "engine/executor.h"
#include "engine/token_drawer.h"

namespace quire {
namespace {

DeviceArray<const int32_t> View(const std::vector<int32_t>& values) {
  return {.data = values.data(), .size = static_cast<int64_t>(values.size())};
}

class InlineExecutor : public Executor {
 public:
  InlineExecutor(Decoder& decoder, Sampler& sampler)
      : decoder_(decoder), sampler_(sampler), drawer_(decoder) {}

  void Submit(const StepBatch& batch) override {
    QUIRE_CHECK(!has_result_) << "a depth of 1";
    decoder_.Forward(batch.model);
    for (const PoolSpan& span : batch.pooled) {
      decoder_.SumHidden(span.first_row, span.count, span.sum);
    }
    drawer_.Run(batch, View(batch.logits_rows), View(batch.scored_rows), sampler_, result_);
    has_result_ = true;
  }

  const StepResult& Wait() override {
    QUIRE_CHECK(has_result_);
    has_result_ = false;
    return result_;
  }

 private:
  Decoder& decoder_;
  Sampler& sampler_;
  TokenDrawer drawer_;
  StepResult result_;
  bool has_result_ = false;
};

}  // namespace

std::unique_ptr<Executor> MakeInlineExecutor(Decoder& decoder, Sampler& sampler) {
  return std::make_unique<InlineExecutor>(decoder, sampler);
}

}  // namespace quire
