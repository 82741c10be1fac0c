// Strings of a message must be UTF-8 on the wire; libprotobuf itself does not say which one is not.
#ifndef QUIRE_PROTO_UTF8_H_
#define QUIRE_PROTO_UTF8_H_

#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace quire {

// Offset of the first byte that begins no whole character; nullopt where all is UTF-8.
std::optional<size_t> FindInvalidUtf8(absl::string_view text);

// OK, or INVALID_ARGUMENT: "<name> is not UTF-8: the byte at offset 7 is 0xff".
absl::Status CheckUtf8(absl::string_view name, absl::string_view text);

}  // namespace quire

#endif  // QUIRE_PROTO_UTF8_H_
