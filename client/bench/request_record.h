// What became of one request of a benchmark.
#ifndef QUIRE_CLIENT_BENCH_REQUEST_RECORD_H_
#define QUIRE_CLIENT_BENCH_REQUEST_RECORD_H_

#include <vector>

#include "absl/status/status.h"

namespace quire::bench {

// Times are seconds since the benchmark began.
struct RequestRecord {
  // When it was meant to be sent. Latencies count from here, so that a request that this side
  // could only send late, because too many were under way, is not flattered.
  double arrival_s = 0;
  double sent_s = 0;
  double end_s = 0;  // its last event, or its failure
  double first_token_s = 0;
  double last_token_s = 0;
  // Inter-token latencies, of each token after the first.
  std::vector<double> itls_s;
  int input_tokens = 0;
  int output_tokens = 0;
  absl::Status status;

  double ttft_s() const { return output_tokens > 0 ? first_token_s - arrival_s : 0; }
  double e2el_s() const { return end_s - arrival_s; }
  // Time per output token after the first; 0 where there is none.
  double tpot_s() const {
    return output_tokens > 1 ? (end_s - first_token_s) / (output_tokens - 1) : 0;
  }

  // `count` tokens came at `now_s` in one delta, as the server joins tokens that wait together. The
  // first of them has the whole gap since the last token, the others came with it and have 0: so
  // the ITLs of a request are one less than its tokens, add up to the time from the first token to
  // the last, and show a stall at its full length.
  void AddTokens(int count, double now_s) {
    if (count <= 0) return;
    if (output_tokens == 0) {
      first_token_s = now_s;
    } else {
      itls_s.push_back(now_s - last_token_s);
    }
    itls_s.insert(itls_s.end(), count - 1, 0.0);
    output_tokens += count;
    last_token_s = now_s;
  }
};

}  // namespace quire::bench

#endif  // QUIRE_CLIENT_BENCH_REQUEST_RECORD_H_
