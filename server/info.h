// What GetModelInfo and GetServerInfo tell.
#ifndef QUIRE_SERVER_INFO_H_
#define QUIRE_SERVER_INFO_H_

#include "quire/v1/generation.pb.h"
#include "server/services.h"

namespace quire {

void FillModelInfo(Services& services, v1::ModelInfo& info);
void FillServerInfo(Services& services, v1::ServerInfo& info);

}  // namespace quire

#endif  // QUIRE_SERVER_INFO_H_
