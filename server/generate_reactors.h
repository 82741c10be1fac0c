// The two generating calls, each a small reactor: one write in flight, nothing that blocks.
#ifndef QUIRE_SERVER_GENERATE_REACTORS_H_
#define QUIRE_SERVER_GENERATE_REACTORS_H_

#include <grpcpp/support/server_callback.h>

#include "quire/v1/generation.pb.h"
#include "server/services.h"

namespace quire {

// The reactor of a GenerateStream or Generate call; it deletes itself.
grpc::ServerWriteReactor<v1::GenerateEvent>* StartGenerateStream(
    Services& services, grpc::CallbackServerContext& context, const v1::GenerateRequest& request);
// A GenerateStream call that ends at once.
grpc::ServerWriteReactor<v1::GenerateEvent>* RefuseGenerateStream(const absl::Status& status);
grpc::ServerUnaryReactor* StartGenerate(Services& services, grpc::CallbackServerContext& context,
                                        const v1::GenerateRequest& request,
                                        v1::GenerateResponse& response);

}  // namespace quire

#endif  // QUIRE_SERVER_GENERATE_REACTORS_H_
