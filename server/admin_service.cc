#include "server/admin_service.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "server/grpc_status.h"
#include "server/log.h"
#include "server/rope_scaling_codec.h"

namespace quire {
namespace {

absl::Status SetRopeScaling(Services& services, const v1::SetRopeScalingRequest& request,
                            v1::SetRopeScalingResponse& response) {
  QUIRE_ASSIGN_OR_RETURN(const RopeChoice choice, DecodeRopeScaling(request));
  QUIRE_RETURN_IF_ERROR(services.model->SetRopeScaling(choice));
  response.set_rope_scaling(FormatRopeChoice(choice));
  Log(absl::StrCat("the rotary scaling of new requests is ", response.rope_scaling()));
  return absl::OkStatus();
}

}  // namespace

grpc::ServerUnaryReactor* AdminServiceImpl::SetRopeScaling(grpc::CallbackServerContext* context,
                                                           const v1::SetRopeScalingRequest* request,
                                                           v1::SetRopeScalingResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(quire::SetRopeScaling(services_, *request, *response)));
  return reactor;
}

}  // namespace quire
