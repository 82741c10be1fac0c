// Lines from standard input: edited, with a history, where it is a terminal; else as they come.
#ifndef QUIRE_CLIENT_CLI_LINE_READER_H_
#define QUIRE_CLIENT_CLI_LINE_READER_H_

#include <memory>
#include <optional>
#include <string>

namespace quire::cli {

class LineReader {
 public:
  virtual ~LineReader() = default;

  virtual bool is_terminal() const = 0;
  // Without its newline; nullopt at the end of the input. A terminal shows the prompt.
  virtual std::optional<std::string> Read(const std::string& prompt) = 0;
  // For the arrow keys.
  virtual void Remember(const std::string& line) = 0;
  // The terminal as it was, for who leaves in the middle of a line. From any thread.
  virtual void RestoreTerminal() = 0;

  static std::unique_ptr<LineReader> Make();
};

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_LINE_READER_H_
