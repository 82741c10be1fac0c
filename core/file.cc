#include "core/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace quire {
namespace {

absl::Status SystemError(const std::string& path, int error) {
  const std::string message = absl::StrCat(path, ": ", std::strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::InvalidArgumentError(message);
}

// Closes its descriptor.
struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

absl::Status OpenRegular(const std::string& path, Descriptor& file, size_t& bytes) {
  file.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file.fd < 0) return SystemError(path, errno);
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return SystemError(path, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": is not a regular file"));
  }
  bytes = static_cast<size_t>(info.st_size);
  return absl::OkStatus();
}

}  // namespace

bool FileExists(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0;
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  Descriptor file;
  size_t bytes = 0;
  if (absl::Status status = OpenRegular(path, file, bytes); !status.ok()) return status;
  std::string text(bytes, '\0');
  size_t at = 0;
  while (at < bytes) {
    const ssize_t got = read(file.fd, text.data() + at, bytes - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path, errno);
    if (got == 0) break;  // it has become shorter
    at += static_cast<size_t>(got);
  }
  text.resize(at);
  return text;
}

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  Descriptor file;
  size_t bytes = 0;
  if (absl::Status status = OpenRegular(path, file, bytes); !status.ok()) return status;
  if (bytes == 0) return absl::InvalidArgumentError(absl::StrCat(path, ": is empty"));
  void* data = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, file.fd, 0);
  if (data == MAP_FAILED) return SystemError(path, errno);
  return std::unique_ptr<MappedFile>(new MappedFile(path, static_cast<const char*>(data), bytes));
}

MappedFile::~MappedFile() { munmap(const_cast<char*>(data_), bytes_); }

void MappedFile::WillRead(size_t begin, size_t bytes) const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t from = begin / page * page;
  madvise(const_cast<char*>(data_) + from, begin + bytes - from, MADV_WILLNEED);
}

void MappedFile::DropPages(size_t begin, size_t bytes) const {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t from = (begin + page - 1) / page * page;
  const size_t to = (begin + bytes) / page * page;
  if (from < to) madvise(const_cast<char*>(data_) + from, to - from, MADV_DONTNEED);
}

}  // namespace quire
