// quire embed: texts to vectors.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/cli/commands.h"
#include "client/cli/connection_flags.h"
#include "client/cli/error_line.h"
#include "client/cli/json.h"
#include "client/cli/text_input.h"
#include "client/client.h"

namespace quire::cli {
namespace {

// One call takes this many texts, and about so many bytes of them.
constexpr size_t kTextsPerCall = 256;
constexpr size_t kBytesPerCall = size_t{1} << 20;

struct EmbedFlags {
  ConnectionFlags connection;
  std::vector<std::string> texts;
  std::string file;
  std::string pooling;  // empty: the model's own
  std::string tenant;
  int32_t priority = 0;
  bool no_normalize = false;
  bool json = false;
};

absl::StatusOr<std::vector<std::string>> ReadTexts(const EmbedFlags& flags) {
  if (!flags.texts.empty()) return flags.texts;
  absl::StatusOr<std::string> read = ReadText({.text = std::nullopt, .file = flags.file});
  if (!read.ok()) return read.status();
  if (read->empty()) return absl::InvalidArgumentError("there is no text: the input is empty");
  return std::vector<std::string>(absl::StrSplit(*read, '\n'));
}

v1::EmbedRequest RequestOf(const EmbedFlags& flags) {
  v1::EmbedRequest request;
  if (flags.pooling == "mean") request.set_pooling(v1::POOLING_MEAN);
  if (flags.pooling == "cls") request.set_pooling(v1::POOLING_CLS);
  if (flags.pooling == "last") request.set_pooling(v1::POOLING_LAST);
  request.set_normalize(!flags.no_normalize);
  request.set_tenant(flags.tenant);
  request.set_priority(flags.priority);
  return request;
}

void Print(const v1::Embedding& embedding, size_t index, bool json) {
  if (json) {
    const Json line = {{"index", index}, {"embedding", ToJson(embedding)["values"]}};
    std::puts(Dump(line).c_str());
    return;
  }
  const auto format = [](std::string* out, float value) {
    absl::StrAppendFormat(out, "%.9g", value);
  };
  std::puts(absl::StrJoin(embedding.values(), " ", format).c_str());
}

int Embed(const EmbedFlags& flags) {
  const auto texts = ReadTexts(flags);
  if (!texts.ok()) return Fail(texts.status());
  const Client client(flags.connection.server);
  for (size_t next = 0; next < texts->size();) {
    const size_t first = next;
    v1::EmbedRequest request = RequestOf(flags);
    for (size_t bytes = 0; next < texts->size() && next - first < kTextsPerCall; ++next) {
      bytes += (*texts)[next].size();
      if (next > first && bytes > kBytesPerCall) break;
      request.add_inputs()->set_text((*texts)[next]);
    }
    const auto response = client.Embed(request, flags.connection.call_options());
    if (!response.ok()) return Fail(response.status());
    for (int i = 0; i < response->embeddings_size(); ++i) {
      Print(response->embeddings(i), first + i, flags.json);
    }
  }
  return kExitOk;
}

}  // namespace

void AddEmbedCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand(
      "embed", "Texts to vectors: a line of numbers for each, in order; 256 texts a call");
  const auto flags = std::make_shared<EmbedFlags>();
  CLI::Option* texts =
      command.add_option("TEXT", flags->texts, "Texts; without any, the lines of standard input");
  texts->check(IsUtf8())->type_name("TEXT")->option_text(" ");
  command.add_option("--file,-f", flags->file, "The lines of this file")
      ->check(CLI::ExistingFile)
      ->type_name("FILE")
      ->excludes(texts);
  command
      .add_option("--pooling", flags->pooling,
                  "mean of all tokens, the first one's (cls) or the last one's (last); without it "
                  "what the model is made for")
      ->check(CLI::IsMember({"mean", "cls", "last"}))
      ->type_name("POOLING")
      ->option_text("mean|cls|last");
  command.add_flag("--no-normalize", flags->no_normalize,
                   "Vectors as they are pooled, not of length 1");
  command.add_flag("--json", flags->json, "A JSON object a line: index and embedding");
  command.add_option("--priority", flags->priority, "Higher runs first")
      ->type_name("N")
      ->capture_default_str();
  command.add_option("--tenant", flags->tenant, "Shares the server fairly with other tenants")
      ->check(IsUtf8())
      ->type_name("NAME");
  AddConnectionFlags(command, flags->connection);
  command.callback([flags, &run] { run = [flags] { return Embed(*flags); }; });
}

}  // namespace quire::cli
