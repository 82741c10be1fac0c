#include "server/listen_address.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ListenAddress, HostAndPort) {
  const auto address = ParseListenAddress("127.0.0.1:8100");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->host, "127.0.0.1");
  EXPECT_EQ(address->port, "8100");
  EXPECT_FALSE(address->is_unix());
  EXPECT_EQ(ParseListenAddress("[::1]:0")->host, "::1");
  EXPECT_EQ(ParseListenAddress("localhost:65535")->port, "65535");
}

TEST(ListenAddress, UnixPath) {
  const auto address = ParseListenAddress("unix:/run/quire.sock");
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->unix_path, "/run/quire.sock");
}

TEST(ListenAddress, WhatIsWrongIsToldWithWhatWasExpected) {
  for (const auto& [text, fault] : std::vector<std::pair<const char*, const char*>>{
           {"", "there is no port"},
           {"localhost", "there is no port"},
           {":8100", "there is no host"},
           {"localhost:", "\"\" is no port"},
           {"localhost:65536", "\"65536\" is no port"},
           {"localhost:-1", "\"-1\" is no port"},
           {"localhost:http", "\"http\" is no port"},
           {"::1:8100", "an IPv6 address stands in brackets"},
           {"unix:", "the path is empty"}}) {
    const absl::Status status = ParseListenAddress(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(std::string("\"") + text + "\": " + fault),
                      HasSubstr("expected HOST:PORT with a port of 0 to 65535")));
  }
}

}  // namespace
}  // namespace quire
