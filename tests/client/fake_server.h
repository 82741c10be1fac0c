// A GenerationService in the test's own process, over a real socket. What a stream does is a
// function of the test.
#ifndef QUIRE_TESTS_CLIENT_FAKE_SERVER_H_
#define QUIRE_TESTS_CLIENT_FAKE_SERVER_H_

#include <grpcpp/server.h>
#include <grpcpp/server_context.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "quire/v1/generation.grpc.pb.h"

namespace quire::testing {

// Events as the interface's contract has them.
v1::GenerateEvent Started(const std::string& request_id, uint32_t prompt_tokens, uint64_t seed);
v1::GenerateEvent Delta(uint32_t index, const std::string& text,
                        const std::vector<uint32_t>& token_ids);
v1::GenerateEvent Finished(uint32_t index, v1::FinishReason reason, uint32_t prompt_tokens,
                           uint32_t completion_tokens);

// A status with a google.rpc.RetryInfo, as the server sends it.
grpc::Status WithRetryInfo(grpc::StatusCode code, const std::string& message, int64_t seconds);

class FakeServer {
 public:
  // Writes an event; false once the client is gone.
  using Write = std::function<bool(const v1::GenerateEvent&)>;
  using Stream =
      std::function<grpc::Status(grpc::ServerContext&, const v1::GenerateRequest&, const Write&)>;

  // HOST:PORT with port 0 picks a free one.
  explicit FakeServer(const std::string& listen = "127.0.0.1:0");
  // Waits for live streams, which its shutdown cancels.
  ~FakeServer();

  const std::string& address() const { return address_; }
  void SetServing(bool serving);

  // What GetModelInfo tells; true at first.
  void SetHasChatTemplate(bool has);

  // What GenerateStream and Generate do from now on; Echo at first.
  void SetStream(Stream stream);

  // max_new_tokens tokens (3 if unset) of each sample, one a delta: ids 100, 101, ... and texts
  // " t0", " t1", ...
  static grpc::Status Echo(grpc::ServerContext& context, const v1::GenerateRequest& request,
                           const Write& write);
  // Started and one token " t0", then nothing until the client is gone.
  Stream Hang();
  // The same under the id "live", which Abort ends with CANCELLED and a usage of five tokens.
  Stream HangUntilAborted();

  // Requests in the order in which they came.
  std::vector<v1::GenerateRequest> requests() const;
  // Whether `count` streams of Hang or more have seen their client go, before `timeout` has passed.
  bool AwaitCancelled(int count, absl::Duration timeout = absl::Seconds(10)) const;
  // Whether `count` streams or more have begun.
  bool AwaitStreams(int count, absl::Duration timeout = absl::Seconds(10)) const;
  // The most streams that were open at once.
  int peak_streams() const;

 private:
  class Service;
  class AdminService;

  std::unique_ptr<Service> service_;
  std::unique_ptr<AdminService> admin_service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_CLIENT_FAKE_SERVER_H_
