// quire.v1.AdminService over the callback API.
#ifndef QUIRE_SERVER_ADMIN_SERVICE_H_
#define QUIRE_SERVER_ADMIN_SERVICE_H_

#include "quire/v1/admin.grpc.pb.h"
#include "server/services.h"

namespace quire {

class AdminServiceImpl final : public v1::AdminService::CallbackService {
 public:
  // `services` outlives the service.
  explicit AdminServiceImpl(Services& services) : services_(services) {}

  grpc::ServerUnaryReactor* SetRopeScaling(grpc::CallbackServerContext* context,
                                           const v1::SetRopeScalingRequest* request,
                                           v1::SetRopeScalingResponse* response) override;

 private:
  Services& services_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_ADMIN_SERVICE_H_
