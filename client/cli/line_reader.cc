#include "client/cli/line_reader.h"

#include <histedit.h>
#include <termios.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace quire::cli {
namespace {

constexpr int kHistoryLines = 1000;

class PlainReader : public LineReader {
 public:
  bool is_terminal() const override { return false; }
  std::optional<std::string> Read(const std::string& /*prompt*/) override {
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return line;
  }
  void Remember(const std::string& /*line*/) override {}
  void RestoreTerminal() override {}
};

class TerminalReader : public LineReader {
 public:
  TerminalReader() {
    // Lines are of characters, not of bytes, only where the locale says UTF-8.
    std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
    has_settings_ = tcgetattr(STDIN_FILENO, &settings_) == 0;
    editor_ = el_init("quire", stdin, stdout, stderr);
    history_ = history_init();
    HistEvent event;
    history(history_, &event, H_SETSIZE, kHistoryLines);
    history(history_, &event, H_SETUNIQUE, 1);
    el_set(editor_, EL_CLIENTDATA, this);
    el_set(editor_, EL_PROMPT, &TerminalReader::Prompt);
    el_set(editor_, EL_EDITOR, "emacs");
    el_set(editor_, EL_HIST, history, history_);
    el_source(editor_, nullptr);  // the user's own .editrc
  }
  TerminalReader(const TerminalReader&) = delete;
  TerminalReader& operator=(const TerminalReader&) = delete;
  ~TerminalReader() override {
    history_end(history_);
    el_end(editor_);
  }

  bool is_terminal() const override { return true; }

  std::optional<std::string> Read(const std::string& prompt) override {
    prompt_ = prompt;
    int length = 0;
    const char* line = el_gets(editor_, &length);
    if (line == nullptr || length <= 0) return std::nullopt;
    std::string text(line, static_cast<size_t>(length));
    if (text.back() == '\n') text.pop_back();
    return text;
  }

  void Remember(const std::string& line) override {
    HistEvent event;
    history(history_, &event, H_ENTER, line.c_str());
  }

  void RestoreTerminal() override {
    if (has_settings_) tcsetattr(STDIN_FILENO, TCSANOW, &settings_);
  }

 private:
  static char* Prompt(EditLine* editor) {
    TerminalReader* reader = nullptr;
    el_get(editor, EL_CLIENTDATA, &reader);
    return reader->prompt_.data();
  }

  EditLine* editor_;
  History* history_;
  std::string prompt_;
  termios settings_ = {};
  bool has_settings_ = false;
};

}  // namespace

std::unique_ptr<LineReader> LineReader::Make() {
  if (isatty(STDIN_FILENO) == 0) return std::make_unique<PlainReader>();
  return std::make_unique<TerminalReader>();
}

}  // namespace quire::cli
