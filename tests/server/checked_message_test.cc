#include "server/checked_message.h"

#include <random>
#include <string>

#include "google/protobuf/stubs/common.h"
#include "gtest/gtest.h"
#include "proto/utf8.h"

namespace quire {
namespace {

absl::Status Parse(const std::string& bytes, v1::GenerateRequest& request) {
  const grpc::Slice slice(bytes);
  return ParseChecked(grpc::ByteBuffer(&slice, 1), request);
}

TEST(Utf8, TheFirstBadByteIsFound) {
  EXPECT_EQ(FindInvalidUtf8("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"), std::nullopt);
  EXPECT_EQ(FindInvalidUtf8("a\x80"), 1U);
  EXPECT_EQ(FindInvalidUtf8("ab\xc3"), 2U);            // cut off
  EXPECT_EQ(FindInvalidUtf8("\xc0\xaf"), 0U);          // overlong
  EXPECT_EQ(FindInvalidUtf8("\xe0\x80\xaf"), 0U);      // overlong
  EXPECT_EQ(FindInvalidUtf8("x\xed\xa0\x80"), 1U);     // a surrogate
  EXPECT_EQ(FindInvalidUtf8("\xf4\x90\x80\x80"), 0U);  // above U+10FFFF
  EXPECT_EQ(FindInvalidUtf8("\xef\xbf\xbf\xf4\x8f\xbf\xbf"), std::nullopt);
}

TEST(CheckedMessage, WhatPassesTheCheckIsParsedWhole) {
  v1::GenerateRequest request;
  request.set_text("caf\xc3\xa9");
  request.mutable_stopping()->add_stop_strings("\xe2\x82\xac");
  request.mutable_stopping()->mutable_time_limit()->set_seconds(3);
  (*request.mutable_sampling()->mutable_logit_bias())[7] = 1.5F;
  request.mutable_sampling()->set_seed(~uint64_t{0});
  request.set_priority(-3);
  v1::GenerateRequest parsed;
  ASSERT_TRUE(Parse(request.SerializeAsString(), parsed).ok());
  EXPECT_EQ(parsed.SerializeAsString(), request.SerializeAsString());
  EXPECT_TRUE(Parse("", parsed).ok());
}

// Whatever comes, the check and libprotobuf's parser agree on it.
TEST(CheckedMessage, RandomBytesNeitherCrashNorPassForAMessage) {
  google::protobuf::LogSilencer silence;
  v1::GenerateRequest seed;
  seed.set_text("some text");
  seed.mutable_chat()->add_messages()->set_content("hello");
  seed.mutable_stopping()->add_stop_strings("stop");
  const std::string good = seed.SerializeAsString();
  std::mt19937 random(5);
  for (int trial = 0; trial < 20'000; ++trial) {
    std::string bytes = good.substr(0, random() % (good.size() + 1));
    for (int k = 0; k < 3 && !bytes.empty(); ++k) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    v1::GenerateRequest parsed;
    v1::GenerateRequest plain;
    ASSERT_EQ(Parse(bytes, parsed).ok(), plain.ParseFromString(bytes)) << trial;
  }
}

}  // namespace
}  // namespace quire
