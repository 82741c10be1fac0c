// quire info: the model, the server and what it does just now.
#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/commands.h"
#include "client/cli/connection_flags.h"
#include "client/cli/error_line.h"
#include "client/cli/format.h"
#include "client/cli/json.h"
#include "client/cli/text_input.h"
#include "client/client.h"

namespace quire::cli {
namespace {

struct InfoFlags {
  ConnectionFlags connection{.timeout_seconds = kShortCallSeconds};
  bool json = false;
};

const char* PoolingText(v1::Pooling pooling) {
  switch (pooling) {
    case v1::POOLING_MEAN:
      return "mean";
    case v1::POOLING_CLS:
      return "cls: the first token";
    case v1::POOLING_LAST:
      return "last: the last token";
    default:
      return "what the request says";
  }
}

std::string ModelText(const v1::ModelInfo& model) {
  return absl::StrFormat(
      "model       %s: %s (%s), %s parameters, %s\n"
      "            %d layers, vocabulary %d, context %d tokens\n"
      "capacity    %d tokens a sequence, %s of KV cache a token\n"
      "rotation    %s\n"
      "embeddings  %d values, pooled by %s%s\n"
      "tokenizer   %s; chat template: %s; end tokens: %s\n",
      model.name(), model.architecture(), model.model_type(), FormatCount(model.parameters()),
      model.dtype(), model.num_layers(), model.vocab_size(), model.context_tokens(),
      model.capacity_tokens(), FormatBytes(model.kv_bytes_per_token()),
      model.rope_scaling() == "model" ? "scaled as config.json says"
                                      : absl::StrCat("new requests: ", model.rope_scaling()),
      model.hidden_size(), PoolingText(model.default_pooling()),
      model.generates() ? "" : "; the model only embeds",
      model.has_tokenizer() ? "yes" : "none: prompts must be token ids",
      model.has_chat_template() ? "yes" : "none",
      model.eos_token_ids().empty() ? "none" : FormatTokenIds(model.eos_token_ids()));
}

std::string WindowText(const v1::KvGroupInfo& group) {
  if (group.window() == 0) return "full attention";
  if (group.sinks() == 0) return absl::StrCat("window ", group.window());
  return absl::StrCat("window ", group.window(), " and ", group.sinks(), " sinks");
}

std::string MemoryText(const v1::ServerInfo& server) {
  std::string text = "memory      ";
  uint64_t total_bytes = 0;
  for (const v1::MemoryUse& use : server.memory_plan()) {
    absl::StrAppend(&text, use.purpose(), " ", FormatBytes(use.bytes()), ", ");
    total_bytes += use.bytes();
  }
  absl::StrAppend(&text, "total ", FormatBytes(total_bytes), "\n");
  for (const v1::KvGroupInfo& group : server.kv_groups()) {
    absl::StrAppendFormat(
        &text, "KV cache    %s: %d blocks of %d tokens (%s): %d used, %d cached, %d free\n",
        WindowText(group), group.num_blocks(), server.block_tokens(),
        FormatBytes(group.block_bytes()), group.used_blocks(), group.cached_blocks(),
        group.free_blocks());
  }
  return text;
}

std::string ServerText(const v1::ServerInfo& server, const std::string& address) {
  const v1::LoadInfo& load = server.load();
  const v1::LimitInfo& limits = server.limits();
  return absl::StrFormat(
             "server      quire-server %s at %s: %s, up %s\n"
             "device      %s%s\n",
             server.version(), address,
             server.state() == v1::SERVER_STATE_DRAINING ? "draining" : "serving",
             FormatUptime(server.uptime()), server.device(),
             server.batch_invariant() ? "" : ", batch invariance off") +
         MemoryText(server) +
         absl::StrFormat(
             "load        %d running, %d queued, %d paused, %d preempted\n"
             "since start %d steps, %d prompt tokens (%d cached), %d generated, %d preemptions\n"
             "limits      %d sequences at once, %d queued requests, %d tokens a step, %s a "
             "message, %d calls a connection\n",
             load.running(), load.queued(), load.paused(), load.preempted(), load.steps(),
             load.prompt_tokens(), load.cached_prompt_tokens(), load.generated_tokens(),
             load.preemptions(), limits.max_num_sequences(), limits.max_queue(),
             limits.max_batch_tokens(), FormatBytes(limits.max_message_bytes()),
             limits.max_streams_per_connection());
}

int Info(const InfoFlags& flags) {
  const Client client(flags.connection.server);
  const auto model = client.GetModelInfo(flags.connection.call_options());
  if (!model.ok()) return Fail(model.status());
  const auto server = client.GetServerInfo(flags.connection.call_options());
  if (!server.ok()) return Fail(server.status());
  if (flags.json) {
    const Json json = {{"model", ToJson(*model)}, {"server", ToJson(*server)}};
    std::puts(Dump(json, 2).c_str());
  } else {
    std::fputs((ModelText(*model) + ServerText(*server, flags.connection.server)).c_str(), stdout);
  }
  return kExitOk;
}

}  // namespace

void AddInfoCommand(CLI::App& app, Run& run) {
  CLI::App& command = *app.add_subcommand(
      "info", "The model, the server's memory and limits, and its load just now");
  const auto flags = std::make_shared<InfoFlags>();
  command.add_flag("--json", flags->json, "One JSON object: model and server, with all fields");
  AddConnectionFlags(command, flags->connection);
  command.callback([flags, &run] { run = [flags] { return Info(*flags); }; });
}

}  // namespace quire::cli
