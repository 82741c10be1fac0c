// Decode steps as recorded graphs: some hundred launches become one.
#ifndef QUIRE_ENGINE_CUDA_DECODE_GRAPHS_H_
#define QUIRE_ENGINE_CUDA_DECODE_GRAPHS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/cuda/device_queue.h"
#include "engine/cuda/device_placement.h"
#include "engine/cuda/padded_batch.h"
#include "engine/executor.h"
#include "model/decoder.h"

namespace quire {

struct DecodeGraphOptions {
  int64_t max_rows = 512;  // of the largest
  // When to stop with as many graphs as there are: other steps run launch by launch.
  absl::Duration max_time = absl::Seconds(10);
  size_t max_bytes = size_t{512} << 20;
  std::function<size_t()> free_bytes;  // of the device; or none: nothing is counted
};

// The numbers of rows that steps of up to max_rows are filled up to, ascending.
std::vector<int64_t> DecodeGraphRows(int64_t max_rows);

// Graphs of what Decoder::Compute does, one per number of rows. They are the same work as without,
// for rows of padding besides: the bits of a row are the same.
class DecodeGraphs {
 public:
  // Records them. What is passed by reference outlives the graphs.
  static absl::StatusOr<std::unique_ptr<DecodeGraphs>> Record(const DecodeGraphOptions& options,
                                                              const BatchLimits& limits,
                                                              Decoder& decoder,
                                                              DevicePlacement& placement,
                                                              DeviceQueue& queue);

  // Rows that the batch is filled up to where a graph serves it, else 0. Host arrays.
  int64_t RowsFor(const ModelBatch& batch) const;
  // Work of the batch that PlaceDecode has placed last, with `rows` rows.
  void Run(int64_t rows);
  PaddedBatch& padding() { return padding_; }

  std::string Describe() const;

 private:
  struct Graph {
    int64_t rows = 0;
    KvExtent extent;  // of the generated rows, at most
    std::unique_ptr<DeviceGraph> work;
  };

  DecodeGraphs(const BatchLimits& limits, DeviceQueue& queue)
      : limits_(limits), queue_(queue), padding_(limits) {}

  KvExtent ExtentOf(int64_t rows) const;
  absl::Status RecordOne(int64_t rows, Decoder& decoder, DevicePlacement& placement);

  const BatchLimits limits_;
  DeviceQueue& queue_;
  PaddedBatch padding_;
  std::vector<Graph> graphs_;  // ascending in rows
  absl::Duration time_;
  size_t bytes_ = 0;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_CUDA_DECODE_GRAPHS_H_
