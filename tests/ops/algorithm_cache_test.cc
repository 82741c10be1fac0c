#include "ops/cuda/algorithm_cache.h"

#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/temp_dir.h"

namespace quire {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const GpuIdentity kGpu{.name = "NVIDIA H200/x", .driver_version = 13000};
constexpr size_t kVersion = 130100;
const ProductKind kKind{.act = DType::kBFloat16, .out = DType::kFloat32, .n = 4096, .k = 14336};
constexpr AlgorithmConfig kConfig{.id = 66,
                                  .tile = 393,
                                  .stages = 36,
                                  .splits = 4,
                                  .reduction = 2,
                                  .swizzle = 1,
                                  .custom = 5,
                                  .inner_shape = 7,
                                  .cluster_shape = 8};

class AlgorithmCacheTest : public ::testing::Test {
 protected:
  AlgorithmCache Open(const GpuIdentity& gpu = kGpu, size_t version = kVersion) {
    return OpenIn(directory_.File("made/here"), gpu, version);
  }
  AlgorithmCache OpenIn(const std::string& directory, const GpuIdentity& gpu = kGpu,
                        size_t version = kVersion) {
    return AlgorithmCache(directory, gpu, version,
                          [this](absl::string_view line) { log_.emplace_back(line); });
  }
  // A file with one entry; its path.
  std::string WriteOne() {
    AlgorithmCache cache = Open();
    cache.Add(kKind, 256, kConfig);
    cache.Write();
    return cache.path();
  }

  testing::TempDir directory_;
  std::vector<std::string> log_;
};

TEST_F(AlgorithmCacheTest, WhatIsWrittenIsThereAtTheNextStart) {
  ProductKind biased = kKind;
  biased.has_bias = true;
  AlgorithmConfig other = kConfig;
  other.splits = 1;
  {
    AlgorithmCache cache = Open();
    EXPECT_EQ(cache.Find(kKind, 256), std::nullopt);
    cache.Add(kKind, 256, kConfig);
    cache.Add(biased, 256, other);
    cache.Write();
    cache.Add(kKind, 512, other);
    cache.Write();  // replaces the file
  }
  const AlgorithmCache cache = Open();
  EXPECT_EQ(cache.Find(kKind, 256), kConfig);
  EXPECT_EQ(cache.Find(biased, 256), other);
  EXPECT_EQ(cache.Find(kKind, 512), other);
  EXPECT_EQ(cache.Find(kKind, 64), std::nullopt);
  EXPECT_THAT(log_, IsEmpty());
  // Nothing but the file is left.
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory_.File("made/here"))) {
    names.push_back(entry.path().filename());
  }
  EXPECT_THAT(names, ElementsAre("cublas-NVIDIA_H200_x-13000-130100.json"));
}

TEST_F(AlgorithmCacheTest, OtherGpusDriversAndVersionsHaveFilesOfTheirOwn) {
  WriteOne();
  GpuIdentity other = kGpu;
  other.name = "NVIDIA H100";
  EXPECT_EQ(Open(other).Find(kKind, 256), std::nullopt);
  other = kGpu;
  other.driver_version = 12080;
  EXPECT_EQ(Open(other).Find(kKind, 256), std::nullopt);
  EXPECT_EQ(Open(kGpu, 120800).Find(kKind, 256), std::nullopt);
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_EQ(Open().Find(kKind, 256), kConfig);
}

TEST_F(AlgorithmCacheTest, AForeignFileUnderTheNameIsLeftAsideWithALine) {
  const std::string written = WriteOne();
  GpuIdentity other = kGpu;
  other.name = "NVIDIA H200_x";  // the same file name
  EXPECT_EQ(Open(other).Find(kKind, 256), std::nullopt);
  EXPECT_THAT(log_, ElementsAre(AllOf(HasSubstr(written), HasSubstr("is of another GPU"))));
  EXPECT_EQ(Open().Find(kKind, 256), kConfig);
}

TEST_F(AlgorithmCacheTest, ABrokenFileIsLeftAsideWithALineAndReplaced) {
  const std::string path = WriteOne();
  const std::string text = ReadFile(path).value();
  const auto replaced = [&](const std::string& what, const std::string& by) {
    std::string changed = text;
    const size_t at = changed.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return changed.replace(at, what.size(), by);
  };
  for (const std::string& broken :
       {std::string(), std::string("\0\xff", 2), text.substr(0, text.size() / 2),
        replaced("393", "-1"), replaced("66, ", ""), replaced("66, ", "\"a\", "),
        replaced("float32", "float16"), replaced("float32", "int8"),
        replaced("\"rows\": 256", "\"rows\": 0"), replaced("\"bias\": false, ", ""),
        replaced("\"format\": 1", "\"format\": 2")}) {
    directory_.Write("made/here/cublas-NVIDIA_H200_x-13000-130100.json", broken);
    log_.clear();
    EXPECT_EQ(Open().Find(kKind, 256), std::nullopt) << broken;
    EXPECT_THAT(log_, ElementsAre(HasSubstr(path))) << broken;
  }
  WriteOne();
  log_.clear();
  EXPECT_EQ(Open().Find(kKind, 256), kConfig);
  EXPECT_THAT(log_, IsEmpty());
}

TEST_F(AlgorithmCacheTest, WhatCannotBeWrittenIsOneLine) {
  AlgorithmCache cache = OpenIn("/proc/no-such-directory");
  cache.Add(kKind, 256, kConfig);
  cache.Write();
  cache.Write();
  EXPECT_THAT(log_, ElementsAre(AllOf(HasSubstr("/proc/no-such-directory/cublas-"),
                                      HasSubstr("measures anew"))));
  EXPECT_EQ(cache.Find(kKind, 256), kConfig);
}

TEST_F(AlgorithmCacheTest, WithoutADirectoryNothingIsKept) {
  AlgorithmCache cache = OpenIn("");
  cache.Add(kKind, 256, kConfig);
  cache.Write();
  EXPECT_EQ(cache.path(), "");
  EXPECT_EQ(cache.Find(kKind, 256), kConfig);
  EXPECT_EQ(OpenIn("").Find(kKind, 256), std::nullopt);
  EXPECT_THAT(log_, IsEmpty());
}

}  // namespace
}  // namespace quire
