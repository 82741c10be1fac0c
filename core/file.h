// Files that a user gave us: read whole, or mapped.
#ifndef QUIRE_CORE_FILE_H_
#define QUIRE_CORE_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace quire {

bool FileExists(const std::string& path);

// NOT_FOUND where there is none; other faults name the path and the system's reason.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// A file mapped read-only. Its pages come in as they are touched.
class MappedFile {
 public:
  static absl::StatusOr<std::unique_ptr<MappedFile>> Open(const std::string& path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::string& path() const { return path_; }
  const char* data() const { return data_; }
  size_t bytes() const { return bytes_; }

  // Tells the system that [begin, begin + bytes) will be read soon, or not again: its whole pages
  // leave this process's memory.
  void WillRead(size_t begin, size_t bytes) const;
  void DropPages(size_t begin, size_t bytes) const;

 private:
  MappedFile(std::string path, const char* data, size_t bytes)
      : path_(std::move(path)), data_(data), bytes_(bytes) {}

  std::string path_;
  const char* data_;
  size_t bytes_;
};

}  // namespace quire

#endif  // QUIRE_CORE_FILE_H_
