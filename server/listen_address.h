// Where the server listens: HOST:PORT or unix:PATH.
#ifndef QUIRE_SERVER_LISTEN_ADDRESS_H_
#define QUIRE_SERVER_LISTEN_ADDRESS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace quire {

struct ListenAddress {
  std::string text;       // as it was given, and as gRPC takes it
  std::string host;       // without brackets; empty for a unix socket
  std::string port;       // "0" to "65535"
  std::string unix_path;  // empty for HOST:PORT

  bool is_unix() const { return !unix_path.empty(); }
};

// INVALID_ARGUMENT tells what was expected. An IPv6 host stands in brackets.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// OK where a listener could be opened just now; else UNAVAILABLE with the system's reason. A unix
// socket that a server answers on is taken; one that nobody answers on is left over and may go.
absl::Status CheckCanListen(const ListenAddress& address);

}  // namespace quire

#endif  // QUIRE_SERVER_LISTEN_ADDRESS_H_
