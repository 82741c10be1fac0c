// Requests that are refused by us where they cannot be parsed. gRPC alone answers a string that is
// not UTF-8 with UNIMPLEMENTED and no message.
#ifndef QUIRE_SERVER_CHECKED_MESSAGE_H_
#define QUIRE_SERVER_CHECKED_MESSAGE_H_

#include <grpcpp/support/byte_buffer.h>

#include "absl/status/status.h"
#include "quire/v1/generation.grpc.pb.h"

namespace quire {

// Stands for `Message` as the request type of a method; the message is good only if status is OK.
template <typename Message>
struct Checked {
  Message message;
  absl::Status status;
};

// INVALID_ARGUMENT names the string field that is not UTF-8, or says that the bytes are no such
// message.
absl::Status ParseChecked(const grpc::ByteBuffer& buffer, google::protobuf::Message& message);

}  // namespace quire

namespace grpc {

template <typename Message>
class SerializationTraits<quire::Checked<Message>, void> {
 public:
  static Status Deserialize(ByteBuffer* buffer, quire::Checked<Message>* checked) {
    checked->status = quire::ParseChecked(*buffer, checked->message);
    buffer->Clear();
    return Status::OK;
  }
};

}  // namespace grpc

#endif  // QUIRE_SERVER_CHECKED_MESSAGE_H_
