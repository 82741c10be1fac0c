// Quantities for people.
#ifndef QUIRE_CLIENT_CLI_FORMAT_H_
#define QUIRE_CLIENT_CLI_FORMAT_H_

#include <google/protobuf/duration.pb.h>

#include <cstdint>
#include <string>

namespace quire::cli {

// "512 B", "1.5 KiB", "2.0 GiB"
std::string FormatBytes(uint64_t bytes);
// "950", "3.1 M", "7.6 B": as models are named
std::string FormatCount(uint64_t count);
// "42s", "3h2m", "2d4h": two units
std::string FormatUptime(const google::protobuf::Duration& uptime);

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_FORMAT_H_
