#include "core/cuda/cuda_stream.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "core/cuda/cuda_error.h"

namespace quire {
namespace {

class CudaGraph : public DeviceGraph {
 public:
  explicit CudaGraph(cudaGraphExec_t exec) : exec_(exec) {}
  ~CudaGraph() override { QUIRE_CUDA_CHECK(cudaGraphExecDestroy(exec_)); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  cudaGraphExec_t exec() const { return exec_; }

 private:
  cudaGraphExec_t exec_;
};

}  // namespace

CudaStream::CudaStream() {
  QUIRE_CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  for (cudaEvent_t& event : events_) {
    QUIRE_CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
}

CudaStream::~CudaStream() {
  for (cudaEvent_t event : events_) QUIRE_CUDA_CHECK(cudaEventDestroy(event));
  QUIRE_CUDA_CHECK(cudaStreamDestroy(stream_));
}

absl::StatusOr<DeviceBuffer> CudaStream::MakeStaging(size_t bytes) {
  if (bytes == 0) return DeviceBuffer();
  void* data = nullptr;
  const cudaError_t error = cudaMallocHost(&data, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it does not stick
    return absl::ResourceExhaustedError(
        absl::StrCat("no ", bytes, " bytes of page-locked host memory are to be had"));
  }
  QUIRE_CUDA_CHECK(error);
  std::memset(data, 0, bytes);
  return DeviceBuffer(
      data, bytes, [](void* buffer, size_t /*bytes*/) { QUIRE_CUDA_CHECK(cudaFreeHost(buffer)); });
}

void CudaStream::CopyToDevice(void* device, const void* host, size_t bytes) {
  QUIRE_CUDA_CHECK(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_));
}

void CudaStream::CopyToHost(void* host, const void* device, size_t bytes) {
  QUIRE_CUDA_CHECK(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_));
}

DeviceQueue::Mark CudaStream::SetMark() {
  QUIRE_CUDA_CHECK(cudaEventRecord(events_[marks_ % kEvents], stream_));
  return marks_++;
}

void CudaStream::Await(Mark mark) {
  QUIRE_CUDA_CHECK(cudaEventSynchronize(events_[mark % kEvents]));
}

absl::StatusOr<std::unique_ptr<DeviceGraph>> CudaStream::Record(absl::FunctionRef<void()> work) {
  // Other threads (of tests) may go on to allocate: that concerns no stream of theirs.
  QUIRE_CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  work();
  cudaGraph_t graph = nullptr;
  QUIRE_CUDA_CHECK(cudaStreamEndCapture(stream_, &graph));
  cudaGraphExec_t exec = nullptr;
  const cudaError_t error = cudaGraphInstantiate(&exec, graph, 0);
  QUIRE_CUDA_CHECK(cudaGraphDestroy(graph));
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it does not stick
    return absl::ResourceExhaustedError("no memory for a graph of kernels");
  }
  QUIRE_CUDA_CHECK(error);
  // What it needs on the device is taken now, not in the first step.
  QUIRE_CUDA_CHECK(cudaGraphUpload(exec, stream_));
  return std::make_unique<CudaGraph>(exec);
}

void CudaStream::Run(const DeviceGraph& graph) {
  QUIRE_CUDA_CHECK(cudaGraphLaunch(static_cast<const CudaGraph&>(graph).exec(), stream_));
}

}  // namespace quire
