// The Embed call.
#ifndef QUIRE_SERVER_EMBED_REACTOR_H_
#define QUIRE_SERVER_EMBED_REACTOR_H_

#include <grpcpp/support/server_callback.h>

#include "quire/v1/generation.pb.h"
#include "server/services.h"

namespace quire {

// Deletes itself.
grpc::ServerUnaryReactor* StartEmbed(Services& services, grpc::CallbackServerContext& context,
                                     const v1::EmbedRequest& request, v1::EmbedResponse& response);

}  // namespace quire

#endif  // QUIRE_SERVER_EMBED_REACTOR_H_
