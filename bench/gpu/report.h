// What a run of the benchmark has measured: a table for people, and the same as JSON.
#ifndef QUIRE_BENCH_GPU_REPORT_H_
#define QUIRE_BENCH_GPU_REPORT_H_

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace quire::gpu_bench {

// What a call has to move and to compute at least: inputs read once, results written once.
struct Work {
  double bytes = 0;
  double flops = 0;
};

// Seconds of one call.
struct Timing {
  double median = 0;
  double least = 0;
  double most = 0;
};

// What the device can do, measured in the same run.
struct Ceilings {
  double copy_bytes_per_second = 0;     // read and written, of a large copy on the device
  double product_flops_per_second = 0;  // of a large bf16 product by the library
  // The least time that the work could take, and whether bytes decide about it.
  double Floor(const Work& work) const;
  bool IsBoundByBytes(const Work& work) const;
};

struct Line {
  std::string model;
  std::string op;
  std::string shape;
  int64_t rows = 0;
  Timing timing;
  Work work;
  double tokens_per_second = 0;  // of steps and prompts; else 0
  std::string left_out;          // why nothing was measured; else empty
};

class Report {
 public:
  // Prints what it is given to `out` at once.
  explicit Report(std::ostream& out) : out_(out) {}

  void Begin(const std::string& device, const Ceilings& ceilings);
  // The lines that follow are this model's.
  void BeginModel(const std::string& model, const std::string& part);
  void Add(Line line);
  void LeaveOut(const std::string& op, const std::string& shape, const std::string& why);

  const Ceilings& ceilings() const { return ceilings_; }
  const std::vector<Line>& lines() const { return lines_; }
  // Of the time that it took.
  double Share(const Line& line) const;
  nlohmann::json Json() const;

 private:
  std::ostream& out_;
  std::string device_;
  std::string model_;
  Ceilings ceilings_;
  std::vector<Line> lines_;
};

}  // namespace quire::gpu_bench

#endif  // QUIRE_BENCH_GPU_REPORT_H_
