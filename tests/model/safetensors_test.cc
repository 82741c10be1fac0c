#include "model/safetensors.h"

#include <cstring>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/weight_source.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using ::testing::HasSubstr;

// Writers pad the header to 8 bytes, so that the data is aligned.
std::string File(std::string header, size_t data_bytes, int64_t header_length = -1) {
  if (header_length < 0) header.resize((header.size() + 7) / 8 * 8, ' ');
  const uint64_t length = header_length < 0 ? header.size() : static_cast<uint64_t>(header_length);
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  return file + header + std::string(data_bytes, '\x3f');
}

std::string Tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   int64_t begin, int64_t end) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
         ",\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

class SafetensorsTest : public ::testing::Test {
 protected:
  std::string Refusal(const std::string& file) {
    directory_.Write("model.safetensors", file);
    const auto opened = SafetensorsCheckpoint::Open(directory_.path());
    EXPECT_FALSE(opened.ok());
    EXPECT_THAT(std::string(opened.status().message()), HasSubstr("model.safetensors"));
    return std::string(opened.status().message());
  }
  testing::TempDir directory_;
};

TEST_F(SafetensorsTest, TensorsAreFoundWhereTheHeaderSays) {
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\"}," +
                             Tensor("b", "BF16", "[2,3]", 4, 16) + "," +
                             Tensor("a", "F32", "[1]", 0, 4) + "}";
  directory_.Write("model.safetensors", File(header, 16));
  const auto checkpoint = SafetensorsCheckpoint::Open(directory_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const StoredTensor* b = (*checkpoint)->Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b->begin, 8 + (header.size() + 7) / 8 * 8 + 4);
  EXPECT_EQ(b->dtype, DType::kBFloat16);
  EXPECT_EQ((*checkpoint)->Find("c"), nullptr);
}

TEST_F(SafetensorsTest, EveryWrongFileIsRefusedWithWhatWasFound) {
  EXPECT_THAT(Refusal(""), HasSubstr("is empty"));
  EXPECT_THAT(Refusal("abc"), HasSubstr("the header's length is 0 bytes"));
  EXPECT_THAT(Refusal(File("{}", 0, 1000)), HasSubstr("length is 1000 bytes, expected 1 to 2"));
  EXPECT_THAT(Refusal(File("{}", 0, INT64_MAX)), HasSubstr("length is 9223372036854775807"));
  EXPECT_THAT(Refusal(File("{\"a\":", 0)), HasSubstr("not valid JSON"));
  EXPECT_THAT(Refusal(File("[1,2]", 0)), HasSubstr("expected an object"));
  EXPECT_THAT(Refusal(File("{" + Tensor("a", "F33", "[1]", 0, 4) + "}", 4)),
              HasSubstr("a.dtype: found \"F33\""));
  EXPECT_THAT(Refusal(File("{" + Tensor("a", "F32", "[-1]", 0, 4) + "}", 4)),
              HasSubstr("a.shape[0]: found -1"));
  EXPECT_THAT(
      Refusal(File("{" + Tensor("a", "F32", "[281474976710656,281474976710656]", 0, 4) + "}", 4)),
      HasSubstr("a.shape: is too large"));
  EXPECT_THAT(Refusal(File("{" + Tensor("a", "F32", "[2]", 0, 4) + "}", 4)),
              HasSubstr("a: has 4 bytes of data, but its shape and type (F32) make 8"));
  EXPECT_THAT(Refusal(File("{" + Tensor("a", "F32", "[2]", 0, 8) + "}", 4)),
              HasSubstr("a.data_offsets[1]: found 8, expected an integer from 0 to 4"));
  EXPECT_THAT(Refusal(File("{" + Tensor("a", "F32", "[1]", 4, 0) + "}", 4)),
              HasSubstr("a.data_offsets[1]: found 0, expected an integer from 4 to 4"));
  EXPECT_THAT(Refusal(File("{" + Tensor("a", "F32", "[1]", 0, 4) + "," +
                               Tensor("b", "F32", "[1]", 8, 12) + "}",
                           12)),
              HasSubstr("\"b\": its data begins at byte 8 of the data, expected 4"));
  EXPECT_THAT(
      Refusal(File(
          "{" + Tensor("a", "F32", "[2]", 0, 8) + "," + Tensor("b", "F32", "[1]", 4, 8) + "}", 8)),
      HasSubstr("without overlaps"));
  EXPECT_THAT(Refusal(File("{" + Tensor("a", "F32", "[1]", 0, 4) + "}", 9)),
              HasSubstr("is the download complete?"));
}

TEST_F(SafetensorsTest, AMissingCheckpointIsNamed) {
  EXPECT_THAT(std::string(SafetensorsCheckpoint::Open(directory_.path()).status().message()),
              HasSubstr("has neither model.safetensors nor model.safetensors.index.json"));
}

TEST_F(SafetensorsTest, AnIndexMustNameFilesOfItsDirectoryThatHoldWhatItSays) {
  directory_.Write("s1.safetensors", File("{" + Tensor("a", "F32", "[1]", 0, 4) + "}", 4));
  const auto refusal = [&](const std::string& index) {
    directory_.Write("model.safetensors.index.json", index);
    const auto opened = SafetensorsCheckpoint::Open(directory_.path());
    EXPECT_FALSE(opened.ok());
    return std::string(opened.status().message());
  };
  EXPECT_THAT(refusal(R"({"weight_map": {"a": "../../etc/passwd"}})"),
              HasSubstr("expected the name of a file in the same directory"));
  EXPECT_THAT(refusal(R"({"weight_map": {"a": "gone.safetensors"}})"),
              HasSubstr("gone.safetensors: No such file"));
  EXPECT_THAT(refusal(R"({"weight_map": {"a": "s1.safetensors", "b": "s1.safetensors"}})"),
              HasSubstr("weight_map.b: the tensor is in no shard"));
  EXPECT_THAT(refusal(R"({})"), HasSubstr("\"weight_map\" is missing"));
  directory_.Write("model.safetensors.index.json", R"({"weight_map": {"a": "s1.safetensors"}})");
  EXPECT_TRUE(SafetensorsCheckpoint::Open(directory_.path()).ok());
  // As in transformers, a single file goes before an index, which may be stale.
  directory_.Write("model.safetensors.index.json", R"({"weight_map": {"a": "gone.safetensors"}})");
  directory_.Write("model.safetensors", File("{" + Tensor("c", "F32", "[1]", 0, 4) + "}", 4));
  const auto single = SafetensorsCheckpoint::Open(directory_.path());
  ASSERT_TRUE(single.ok()) << single.status();
  EXPECT_NE((*single)->Find("c"), nullptr);
}

TEST_F(SafetensorsTest, WeightsAreRefusedWithShapeAndTypeThatWereExpected) {
  directory_.Write("model.safetensors",
                   File("{" + Tensor("x.weight", "BF16", "[4,2]", 0, 16) + "," +
                            Tensor("y.weight", "I32", "[2]", 16, 24) + "}",
                        24));
  const auto source = OpenCheckpoint(directory_.path());
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_THAT(std::string((*source)->Rows({"x.weight", "", 2, 4}).status().message()),
              HasSubstr("x.weight: has the shape [4, 2], expected [2, 4] by config.json"));
  EXPECT_THAT(std::string((*source)->Rows({"x.weight", "x.bias", 4, 2}).status().message()),
              HasSubstr("lacks the tensor x.bias [4]"));
  EXPECT_THAT(std::string((*source)->Vector("y.weight", 2).status().message()),
              HasSubstr("y.weight: has the type I32, expected BF16, F16 or F32"));
  EXPECT_TRUE((*source)->Rows({"x.weight", "", 4, 2}).ok());
  EXPECT_THAT((*source)->Unused(), ::testing::ElementsAre("y.weight"));
}

}  // namespace
}  // namespace quire
