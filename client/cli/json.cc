#include "client/cli/json.h"

#include <google/protobuf/duration.pb.h>

#include <array>
#include <charconv>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "client/call_status.h"

namespace quire::cli {
namespace {

using google::protobuf::Duration;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kNotRepeated = -1;

// The double whose shortest decimal is the float's: 0.1f prints as 0.1, not 0.10000000149011612.
double Widen(float value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double wide = value;  // stays where value is not finite
  std::from_chars(text.data(), end, wide);
  return wide;
}

std::string WithoutPrefix(const EnumValueDescriptor& value) {
  const std::string zero = value.type()->FindValueByNumber(0)->name();
  return std::string(absl::StripPrefix(value.name(), absl::StripSuffix(zero, "UNSPECIFIED")));
}

double Seconds(const Message& duration) {
  Duration copy;
  copy.CopyFrom(duration);
  return static_cast<double>(copy.seconds()) + static_cast<double>(copy.nanos()) * 1e-9;
}

bool IsDuration(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
         field.message_type() == Duration::descriptor();
}

// A getter for a field and for an element of a repeated one look alike but for the index.
#define QUIRE_GET(Type)                                          \
  (index == kNotRepeated ? reflection.Get##Type(message, &field) \
                         : reflection.GetRepeated##Type(message, &field, index))

Json Value(const Message& message, const FieldDescriptor& field, int index) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return QUIRE_GET(Int32);
    case FieldDescriptor::CPPTYPE_INT64:
      return QUIRE_GET(Int64);
    case FieldDescriptor::CPPTYPE_UINT32:
      return QUIRE_GET(UInt32);
    case FieldDescriptor::CPPTYPE_UINT64:
      return QUIRE_GET(UInt64);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Widen(QUIRE_GET(Float));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return QUIRE_GET(Double);
    case FieldDescriptor::CPPTYPE_BOOL:
      return QUIRE_GET(Bool);
    case FieldDescriptor::CPPTYPE_ENUM:
      return WithoutPrefix(*QUIRE_GET(Enum));
    case FieldDescriptor::CPPTYPE_STRING:
      return QUIRE_GET(String);
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const Message& value = index == kNotRepeated
                                 ? reflection.GetMessage(message, &field)
                                 : reflection.GetRepeatedMessage(message, &field, index);
      return IsDuration(field) ? Json(Seconds(value)) : ToJson(value);
    }
  }
  return nullptr;
}

#undef QUIRE_GET

}  // namespace

Json ToJson(const Message& message) {
  Json json = Json::object();
  const Reflection& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    const std::string key = IsDuration(field) ? absl::StrCat(field.name(), "_s") : field.name();
    if (field.is_repeated()) {
      Json& list = json[key] = Json::array();
      for (int k = 0; k < reflection.FieldSize(message, &field); ++k) {
        list.push_back(Value(message, field, k));
      }
    } else if (!field.has_presence() || reflection.HasField(message, &field)) {
      json[key] = Value(message, field, kNotRepeated);
    }
  }
  return json;
}

Json ToJson(const absl::Status& status) {
  Json json;
  json["code"] = absl::StatusCodeToString(status.code());
  json["message"] = std::string(status.message());
  if (const auto delay = RetryDelay(status)) json["retry_after_s"] = absl::ToDoubleSeconds(*delay);
  return json;
}

std::string Dump(const Json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

std::string Name(v1::FinishReason reason) {
  const EnumValueDescriptor* value = v1::FinishReason_descriptor()->FindValueByNumber(reason);
  return value == nullptr ? absl::StrCat(reason) : WithoutPrefix(*value);
}

}  // namespace quire::cli
