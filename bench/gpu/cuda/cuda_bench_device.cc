#include <cuda_runtime_api.h>

#include <memory>

#include "bench/gpu/bench_device.h"
#include "core/cuda/cuda_error.h"
#include "core/cuda/cuda_stream.h"
#include "core/status_macros.h"
#include "engine/cuda/open_cuda_device.h"

namespace quire::gpu_bench {
namespace {

class EventClock : public DeviceClock {
 public:
  explicit EventClock(CudaStream& stream) : stream_(stream) {
    QUIRE_CUDA_CHECK(cudaEventCreate(&start_));
    QUIRE_CUDA_CHECK(cudaEventCreate(&stop_));
  }
  ~EventClock() override {
    QUIRE_CUDA_CHECK(cudaEventDestroy(start_));
    QUIRE_CUDA_CHECK(cudaEventDestroy(stop_));
  }
  EventClock(const EventClock&) = delete;
  EventClock& operator=(const EventClock&) = delete;

  void Start() override { QUIRE_CUDA_CHECK(cudaEventRecord(start_, stream_.get())); }
  double Stop() override {
    QUIRE_CUDA_CHECK(cudaEventRecord(stop_, stream_.get()));
    QUIRE_CUDA_CHECK(cudaEventSynchronize(stop_));
    float milliseconds = 0;
    QUIRE_CUDA_CHECK(cudaEventElapsedTime(&milliseconds, start_, stop_));
    return static_cast<double>(milliseconds) * 1e-3;
  }
  void Copy(void* to, const void* from, size_t bytes) override {
    QUIRE_CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_.get()));
  }

 private:
  CudaStream& stream_;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t stop_ = nullptr;
};

}  // namespace

absl::StatusOr<BenchDevice> OpenBenchDevice(int64_t max_rows) {
  BackendOptions options;
  options.gpu_memory_fraction = 0.9;
  options.max_batch_tokens = max_rows;
  BenchDevice bench;
  QUIRE_ASSIGN_OR_RETURN(bench.device, OpenCudaDevice(options));
  bench.clock = std::make_unique<EventClock>(static_cast<CudaStream&>(*bench.device.queue));
  int device = 0;
  int bytes = 0;
  QUIRE_CUDA_CHECK(cudaGetDevice(&device));
  QUIRE_CUDA_CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device));
  bench.cache_bytes = static_cast<size_t>(bytes);
  return bench;
}

}  // namespace quire::gpu_bench
