#include "server/listen_address.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/status_macros.h"

namespace quire {
namespace {

class Socket {
 public:
  explicit Socket(int family) : fd_(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

absl::Status CannotListen(const ListenAddress& address, absl::string_view reason) {
  return absl::UnavailableError(absl::StrCat("cannot listen on ", address.text, ": ", reason,
                                             "; choose another address with --listen"));
}

std::string Reason(int error) {
  switch (error) {
    case EADDRINUSE:
      return "the address is in use";
    case EADDRNOTAVAIL:
      return "it is not an address of this machine";
    default:
      return std::strerror(error);
  }
}

// 0, or the errno of binding a listener as gRPC does.
int TryBind(const addrinfo& where) {
  const Socket probe(where.ai_family);
  if (probe.fd() < 0) return errno;
  const int yes = 1;
  setsockopt(probe.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(probe.fd(), where.ai_addr, where.ai_addrlen) != 0) return errno;
  return 0;
}

absl::Status CheckPort(const ListenAddress& address) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found);
  if (error != 0) return CannotListen(address, gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  // A name may stand for addresses that this machine lacks (IPv6): one that it has is enough.
  int worst = 0;
  bool any = false;
  for (const addrinfo* where = found; where != nullptr; where = where->ai_next) {
    const int bound = TryBind(*where);
    any = any || bound == 0;
    if (bound == EADDRINUSE) return CannotListen(address, Reason(bound));
    if (bound != 0) worst = bound;
  }
  return any ? absl::OkStatus() : CannotListen(address, Reason(worst));
}

absl::Status CheckUnix(const ListenAddress& address) {
  const std::string& path = address.unix_path;
  sockaddr_un where = {};
  where.sun_family = AF_UNIX;
  if (path.size() >= sizeof where.sun_path) {
    return CannotListen(address,
                        absl::StrCat("the path has ", path.size(), " bytes; the system's limit is ",
                                     sizeof where.sun_path - 1));
  }
  std::memcpy(where.sun_path, path.data(), path.size());
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string directory = parent.empty() ? "." : parent.string();
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    return CannotListen(address, absl::StrCat(directory, ": ", std::strerror(errno)));
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) return absl::OkStatus();
  if (!S_ISSOCK(info.st_mode)) return CannotListen(address, "the path exists and is no socket");
  const Socket probe(AF_UNIX);
  if (connect(probe.fd(), reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0) {
    return CannotListen(address, "another process listens there");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text) {
  const auto bad = [text](absl::string_view fault) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", text, "\": ", fault,
                     "; expected HOST:PORT with a port of 0 to 65535, as 127.0.0.1:8100 or "
                     "[::1]:8100, or unix:PATH"));
  };
  ListenAddress address{.text = std::string(text)};
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:")) {
    if (rest.empty()) return bad("the path is empty");
    address.unix_path = std::string(rest);
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return bad("there is no port");
  absl::string_view host = text.substr(0, colon);
  const absl::string_view port = text.substr(colon + 1);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    host = host.substr(1, host.size() - 2);
  } else if (absl::StrContains(host, ":")) {
    return bad("an IPv6 address stands in brackets");
  }
  if (host.empty()) return bad("there is no host");
  uint32_t number = 0;
  const bool digits = port.find_first_not_of("0123456789") == absl::string_view::npos;
  if (!digits || !absl::SimpleAtoi(port, &number) || number > 65535) {
    return bad(absl::StrCat("\"", port, "\" is no port"));
  }
  address.host = std::string(host);
  address.port = absl::StrCat(number);
  return address;
}

absl::Status CheckCanListen(const ListenAddress& address) {
  return address.is_unix() ? CheckUnix(address) : CheckPort(address);
}

}  // namespace quire
