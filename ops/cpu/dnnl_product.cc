#include "ops/cpu/dnnl_product.h"

#include <omp.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "core/check.h"
#include "dnnl.hpp"
#include "ops/cpu/kernels/ops_kernels.h"

namespace quire {
namespace {

using dnnl::memory;

// Rules out AMX, which adds in another order; false when it is too late for that.
bool CapInstructions() {
  static const bool capped = [] {
    const dnnl::status status = dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx512_core_bf16);
    return status == dnnl::status::success ||
           dnnl::get_effective_cpu_isa() <= dnnl::cpu_isa::avx512_core_bf16;
  }();
  return capped;
}

// oneDNN would fork an OpenMP team of its own; the setting is per thread.
void UseOneThread() {
  static thread_local const bool set = [] {
    omp_set_num_threads(1);
    return true;
  }();
  (void)set;
}

dnnl::matmul::primitive_desc Describe(const dnnl::engine& engine, const memory::desc& x,
                                      const memory::desc& weights, const memory::desc& y,
                                      const dnnl::primitive_attr& attributes) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, x, weights, y, attributes};
#else
  return {{x, weights, y}, attributes, engine};
#endif
}

class OneDnnProduct : public DnnlProduct {
 public:
  OneDnnProduct(const dnnl::engine& engine, const dnnl::matmul::primitive_desc& description,
                int num_threads)
      : primitive_(description) {
    for (int thread = 0; thread < num_threads; ++thread) {
      threads_.push_back({dnnl::stream(engine), memory(description.src_desc(), engine, nullptr),
                          memory(description.weights_desc(), engine, nullptr),
                          memory(description.dst_desc(), engine, nullptr),
                          memory(description.scratchpad_desc(), engine)});
    }
  }

  void Run(int thread, const void* x, const void* panel, float* sums) override {
    UseOneThread();
    ThreadState& state = threads_[thread];
    // The C interface: the C++ one builds a map and a vector more.
    Bind(state.x, const_cast<void*>(x));
    Bind(state.weights, const_cast<void*>(panel));
    Bind(state.y, sums);
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, state.x.get()},
                                    {DNNL_ARG_WEIGHTS, state.weights.get()},
                                    {DNNL_ARG_DST, state.y.get()},
                                    {DNNL_ARG_SCRATCHPAD, state.scratchpad.get()}};
    const dnnl_status_t status =
        dnnl_primitive_execute(primitive_.get(), state.stream.get(), 4, args);
    QUIRE_CHECK_EQ(static_cast<int>(status), static_cast<int>(dnnl_success));
  }

 private:
  struct ThreadState {
    dnnl::stream stream;
    memory x, weights, y, scratchpad;
  };

  static void Bind(const memory& object, void* data) {
    const dnnl_status_t status = dnnl_memory_set_data_handle(object.get(), data);
    QUIRE_CHECK_EQ(static_cast<int>(status), static_cast<int>(dnnl_success));
  }

  dnnl::matmul primitive_;
  std::vector<ThreadState> threads_;
};

}  // namespace

std::unique_ptr<DnnlProduct> DnnlProduct::Make(DType dtype, int64_t in_features, int64_t rows,
                                               int64_t panels, int num_threads) {
  if (!CapInstructions()) return nullptr;
  UseOneThread();
  const bool is_bf16 = dtype == DType::kBFloat16;
  const memory::data_type type = is_bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  const int64_t columns = panels * kPanelColumns;
  try {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    const memory::desc x({rows, in_features}, type, memory::format_tag::ab);
    const memory::desc any({in_features, columns}, type, memory::format_tag::any);
    const memory::desc y({rows, columns}, memory::data_type::f32, memory::format_tag::ab);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::matmul::primitive_desc description = Describe(engine, x, any, y, attributes);
    const memory::desc ours(
        {in_features, columns}, type,
        is_bf16 ? memory::format_tag::BA16a64b2a : memory::format_tag::BA16a64b);
    const bool qualifies =
        absl::StartsWith(description.impl_info_str(), "brg:") && description.weights_desc() == ours;
    if (!qualifies) return nullptr;
    return std::make_unique<OneDnnProduct>(engine, description, num_threads);
  } catch (const dnnl::error&) {  // its way to say that there is no such primitive
    return nullptr;
  }
}

}  // namespace quire
