// What is wrong with a message is said before it is sent: the server could name the field only.
#ifndef QUIRE_CLIENT_MESSAGE_CHECK_H_
#define QUIRE_CLIENT_MESSAGE_CHECK_H_

#include <google/protobuf/message.h>

#include "absl/status/status.h"

namespace quire {

// OK, or INVALID_ARGUMENT naming the first string field that is not UTF-8, and the byte.
absl::Status CheckStrings(const google::protobuf::Message& message);

}  // namespace quire

#endif  // QUIRE_CLIENT_MESSAGE_CHECK_H_
