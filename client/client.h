// A client of quire.v1.GenerationService and quire.v1.AdminService.
//
//   const Client client("127.0.0.1:8100");
//   absl::StatusOr<v1::GenerateResponse> response =
//       client.Generate(MakeRequest("Once upon a time", {.max_new_tokens = 64}));
//
// Every call returns the server's status; RetryDelay (client/call_status.h) tells what the server
// asks about trying again. A server that cannot be reached is UNAVAILABLE and named. A string that
// is not UTF-8 is INVALID_ARGUMENT, and nothing is sent. Nothing is tried again by itself but what
// gRPC knows the server has not seen.
#ifndef QUIRE_CLIENT_CLIENT_H_
#define QUIRE_CLIENT_CLIENT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/channel.h"
#include "client/generate_stream.h"
#include "quire/v1/admin.grpc.pb.h"
#include "quire/v1/generation.grpc.pb.h"

namespace quire {

struct CallOptions {
  // Of the whole call; at its end it is DEADLINE_EXCEEDED here, and a request ends on the server.
  absl::Duration timeout = absl::InfiniteDuration();
};

// Thread-safe.
class Client {
 public:
  // `address` is HOST:PORT or unix:PATH. Connects at the first call.
  explicit Client(std::string address, const ChannelOptions& options = {});

  const Connection& connection() const { return *connection_; }

  // Tokens as they are made. Returns when the request is sent, or cannot be, which the stream's
  // status then tells.
  GenerateStream Stream(const v1::GenerateRequest& request, const CallOptions& options = {}) const;
  // The whole result at once.
  absl::StatusOr<v1::GenerateResponse> Generate(const v1::GenerateRequest& request,
                                                const CallOptions& options = {}) const;
  absl::StatusOr<v1::EmbedResponse> Embed(const v1::EmbedRequest& request,
                                          const CallOptions& options = {}) const;
  absl::StatusOr<v1::TokenizeResponse> Tokenize(const v1::TokenizeRequest& request,
                                                const CallOptions& options = {}) const;
  absl::StatusOr<v1::DetokenizeResponse> Detokenize(const v1::DetokenizeRequest& request,
                                                    const CallOptions& options = {}) const;
  absl::StatusOr<v1::CostEstimate> EstimateCost(const v1::GenerateRequest& request,
                                                const CallOptions& options = {}) const;
  absl::StatusOr<v1::AbortResponse> Abort(const v1::AbortRequest& request,
                                          const CallOptions& options = {}) const;
  absl::StatusOr<v1::ModelInfo> GetModelInfo(const CallOptions& options = {}) const;
  absl::StatusOr<v1::ServerInfo> GetServerInfo(const CallOptions& options = {}) const;

  // See rope_scaling_text.h of proto for what people write.
  absl::StatusOr<v1::SetRopeScalingResponse> SetRopeScaling(
      const v1::SetRopeScalingRequest& request, const CallOptions& options = {}) const;

  // OK only while the server takes requests; else UNAVAILABLE. `service` as grpc.health.v1 has it:
  // empty is the server as a whole.
  absl::Status CheckHealth(const std::string& service = "", const CallOptions& options = {}) const;

 private:
  const std::shared_ptr<const Connection> connection_;  // shared with the streams
  const std::unique_ptr<v1::GenerationService::StubInterface> stub_;
  const std::unique_ptr<v1::AdminService::StubInterface> admin_;
};

}  // namespace quire

#endif  // QUIRE_CLIENT_CLIENT_H_
