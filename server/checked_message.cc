#include "server/checked_message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <grpcpp/support/slice.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "proto/utf8.h"

namespace quire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

// Checks the strings of an encoded message of this type. What is malformed is left to the parser,
// which refuses it.
absl::Status CheckStrings(absl::string_view bytes, const Descriptor& type,
                          const std::string& prefix) {
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  while (const uint32_t tag = in.ReadTag()) {
    uint64_t number = 0;
    uint32_t size = 0;
    switch (tag & 7U) {
      case kVarint:
        if (!in.ReadVarint64(&number)) return absl::OkStatus();
        continue;
      case kFixed64:
        if (!in.Skip(8)) return absl::OkStatus();
        continue;
      case kFixed32:
        if (!in.Skip(4)) return absl::OkStatus();
        continue;
      case kLengthDelimited:
        break;
      default:
        return absl::OkStatus();
    }
    if (!in.ReadVarint32(&size)) return absl::OkStatus();
    const auto begin = static_cast<size_t>(in.CurrentPosition());
    if (size > bytes.size() - begin || !in.Skip(static_cast<int>(size))) return absl::OkStatus();
    const absl::string_view content = bytes.substr(begin, size);
    const FieldDescriptor* field = type.FindFieldByNumber(static_cast<int>(tag >> 3U));
    if (field == nullptr) continue;
    const std::string name = absl::StrCat(prefix, field->name());
    if (field->type() == FieldDescriptor::TYPE_STRING) {
      QUIRE_RETURN_IF_ERROR(CheckUtf8(name, content));
    } else if (field->type() == FieldDescriptor::TYPE_MESSAGE) {
      QUIRE_RETURN_IF_ERROR(CheckStrings(content, *field->message_type(), name + "."));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseChecked(const grpc::ByteBuffer& buffer, google::protobuf::Message& message) {
  const Descriptor& type = *message.GetDescriptor();
  grpc::Slice slice;
  if (!buffer.TrySingleSlice(&slice).ok() && !buffer.DumpToSingleSlice(&slice).ok()) {
    return absl::InternalError("the request's bytes cannot be read");
  }
  const absl::string_view bytes(reinterpret_cast<const char*>(slice.begin()), slice.size());
  QUIRE_RETURN_IF_ERROR(CheckStrings(bytes, type, ""));
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the request's ", bytes.size(), " bytes are no ", type.full_name()));
}

}  // namespace quire
