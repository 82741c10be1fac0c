// One request of a benchmark under way.
#ifndef QUIRE_CLIENT_BENCH_STREAM_CALL_H_
#define QUIRE_CLIENT_BENCH_STREAM_CALL_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <chrono>
#include <cstddef>

#include "absl/time/time.h"
#include "client/bench/request_record.h"
#include "client/channel.h"
#include "quire/v1/generation.grpc.pb.h"

namespace quire::bench {

using Clock = std::chrono::steady_clock;

inline double SecondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Stamps each event in the callback that brings it, on gRPC's own threads: a thread for each
// stream would measure its own wait for a core where streams outnumber cores.
class StreamCall final : public grpc::ClientReadReactor<v1::GenerateEvent> {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // The last thing that happens to a started call: it may be destroyed here.
    virtual void OnCallDone(StreamCall& call) = 0;
  };

  // `start` is the moment 0 of the record; `arrival_s` < 0 stands for the moment of Start.
  StreamCall(Owner& owner, size_t index, const Connection& connection, Clock::time_point start,
             double arrival_s);

  // `request` outlives the call. Start once; Cancel from any thread.
  void Start(const v1::GenerateRequest& request, absl::Duration timeout);
  void Cancel() { context_.TryCancel(); }

  size_t index() const { return index_; }
  // Whole in OnCallDone.
  RequestRecord& record() { return record_; }

 private:
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  double NowSeconds() const { return SecondsBetween(start_, Clock::now()); }

  Owner& owner_;
  const size_t index_;
  const Connection& connection_;
  const Clock::time_point start_;
  v1::GenerationService::Stub stub_;
  grpc::ClientContext context_;
  v1::GenerateEvent event_;
  RequestRecord record_;
};

}  // namespace quire::bench

#endif  // QUIRE_CLIENT_BENCH_STREAM_CALL_H_
