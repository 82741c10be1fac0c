#include "client/message_check.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/utf8.h"

namespace quire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

absl::Status CheckStrings(const Message& message, const std::string& prefix) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!is_message && field->type() != FieldDescriptor::TYPE_STRING) continue;
    const bool repeated = field->is_repeated();
    const int count = repeated ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const std::string name =
          absl::StrCat(prefix, field->name(), repeated ? absl::StrCat("[", i, "]") : "");
      absl::Status status;
      if (is_message) {
        status = CheckStrings(repeated ? reflection.GetRepeatedMessage(message, field, i)
                                       : reflection.GetMessage(message, field),
                              name + ".");
      } else {
        std::string scratch;
        status = CheckUtf8(
            name, repeated ? reflection.GetRepeatedStringReference(message, field, i, &scratch)
                           : reflection.GetStringReference(message, field, &scratch));
      }
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckStrings(const Message& message) { return CheckStrings(message, ""); }

}  // namespace quire
