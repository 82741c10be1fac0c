// Connections to a quire-server.
#ifndef QUIRE_CLIENT_CHANNEL_H_
#define QUIRE_CLIENT_CHANNEL_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quire {

struct ChannelOptions {
  // The largest message taken. The log-probabilities of a long prompt come back in one
  // GenerateResponse, far above gRPC's own 4 MiB.
  int max_receive_bytes = 64 << 20;
  // A ping on a connection whose calls are quiet finds a server that is gone without a word. The
  // server allows one every 10 s.
  absl::Duration keepalive_interval = absl::Seconds(30);
  absl::Duration keepalive_timeout = absl::Seconds(10);
  // gRPC lets the channels of a process to one address share a connection; this one gets its own.
  bool own_connection = false;
};

// A channel and the address it goes to. Connects at the first call, and again after a loss.
// Thread-safe.
class Connection {
 public:
  // `address` is HOST:PORT or unix:PATH. Not encrypted: TLS is the matter of a proxy.
  explicit Connection(std::string address, const ChannelOptions& options = {});

  const std::string& address() const { return address_; }
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // UNAVAILABLE if there is no connection after `timeout`.
  absl::Status Await(absl::Duration timeout) const;

  // The status of a call, where the fault is the connection's in words that name the address.
  // To be asked right after the call has ended.
  absl::Status Explain(const grpc::Status& status) const;

 private:
  absl::Status CannotConnect(absl::StatusCode code, const std::string& detail) const;

  const std::string address_;
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace quire

#endif  // QUIRE_CLIENT_CHANNEL_H_
