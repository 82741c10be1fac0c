// The listener: gRPC with the services, health and reflection.
#ifndef QUIRE_SERVER_GRPC_SERVER_H_
#define QUIRE_SERVER_GRPC_SERVER_H_

#include <grpcpp/server.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/admin_service.h"
#include "server/generation_service.h"
#include "server/listen_address.h"
#include "server/services.h"

namespace quire {

class GrpcServer {
 public:
  // Listens and serves. UNAVAILABLE names the address, and why that fails.
  static absl::StatusOr<std::unique_ptr<GrpcServer>> Start(Services& services,
                                                           const ListenAddress& listen);
  ~GrpcServer();

  // HOST:PORT with the port in use, or unix:PATH.
  const std::string& address() const { return address_; }

  // Health turns NOT_SERVING; calls go on.
  void StopBeingReady();
  // Closes the listener, and every call and connection that is still open.
  void Shutdown();

 private:
  explicit GrpcServer(Services& services) : service_(services), admin_service_(services) {}

  GenerationServiceImpl service_;
  AdminServiceImpl admin_service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_GRPC_SERVER_H_
