#include "server/model_directory.h"

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "core/file.h"

namespace quire {

absl::Status CheckModelDirectory(const std::string& path) {
  constexpr char kExpected[] =
      "; --model takes a checkpoint directory as Hugging Face lays it out: config.json, "
      "model.safetensors and tokenizer.json";
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such directory", kExpected));
  }
  if (!std::filesystem::is_directory(status)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is a file", kExpected));
  }
  if (!FileExists(path + "/config.json")) {
    return absl::NotFoundError(absl::StrCat(path, ": has no config.json", kExpected));
  }
  return absl::OkStatus();
}

}  // namespace quire
