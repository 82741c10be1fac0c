#include "tests/client/fake_server.h"

#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/rpc/error_details.pb.h"
#include "proto/response_collector.h"
#include "quire/v1/admin.grpc.pb.h"

namespace quire::testing {
namespace {

template <typename Condition>
bool AwaitTrue(absl::Duration timeout, Condition condition) {
  const absl::Time deadline = absl::Now() + timeout;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

}  // namespace

v1::GenerateEvent Started(const std::string& request_id, uint32_t prompt_tokens, uint64_t seed) {
  v1::GenerateEvent event;
  event.mutable_started()->set_request_id(request_id);
  event.mutable_started()->set_prompt_tokens(prompt_tokens);
  event.mutable_started()->set_seed(seed);
  return event;
}

v1::GenerateEvent Delta(uint32_t index, const std::string& text,
                        const std::vector<uint32_t>& token_ids) {
  v1::GenerateEvent event;
  event.mutable_delta()->set_sequence_index(index);
  event.mutable_delta()->set_text(text);
  event.mutable_delta()->mutable_token_ids()->Add(token_ids.begin(), token_ids.end());
  return event;
}

v1::GenerateEvent Finished(uint32_t index, v1::FinishReason reason, uint32_t prompt_tokens,
                           uint32_t completion_tokens) {
  v1::GenerateEvent event;
  v1::Finished& finished = *event.mutable_finished();
  finished.set_sequence_index(index);
  finished.set_finish_reason(reason);
  finished.mutable_usage()->set_prompt_tokens(prompt_tokens);
  finished.mutable_usage()->set_completion_tokens(completion_tokens);
  finished.mutable_timings()->mutable_total()->set_nanos(250'000'000);
  return event;
}

grpc::Status WithRetryInfo(grpc::StatusCode code, const std::string& message, int64_t seconds) {
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(seconds);
  google::rpc::Status details;
  details.set_code(code);
  details.set_message(message);
  details.add_details()->PackFrom(retry);
  return {code, message, details.SerializeAsString()};
}

class FakeServer::Service final : public v1::GenerationService::Service {
 public:
  grpc::Status GenerateStream(grpc::ServerContext* context, const v1::GenerateRequest* request,
                              grpc::ServerWriter<v1::GenerateEvent>* writer) override {
    const Stream stream = Begin(*request);
    const grpc::Status status =
        stream(*context, *request,
               [writer](const v1::GenerateEvent& event) { return writer->Write(event); });
    End();
    return status;
  }

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        v1::GenerateResponse* response) override {
    const Stream stream = Begin(*request);
    ResponseCollector collector;
    const grpc::Status status =
        stream(*context, *request, [&collector](const v1::GenerateEvent& event) {
          collector.Add(event);
          return true;
        });
    *response = collector.response();
    End();
    return status;
  }

  // A token for each byte, and 0 in front of texts as BOS.
  grpc::Status Tokenize(grpc::ServerContext* /*context*/, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    if (request->add_special_tokens() ||
        (!request->has_add_special_tokens() && !request->has_chat())) {
      response->add_token_ids(0);
    }
    for (unsigned char byte : request->text()) response->add_token_ids(byte);
    for (const v1::ChatMessage& message : request->chat().messages()) {
      for (unsigned char byte : message.role() + message.content()) response->add_token_ids(byte);
    }
    return grpc::Status::OK;
  }

  // {bytes of the text, pooling, normalize}
  grpc::Status Embed(grpc::ServerContext* /*context*/, const v1::EmbedRequest* request,
                     v1::EmbedResponse* response) override {
    for (const v1::EmbedInput& input : request->inputs()) {
      if (input.text().empty()) return {grpc::StatusCode::INVALID_ARGUMENT, "inputs[0] is empty"};
      v1::Embedding* embedding = response->add_embeddings();
      embedding->add_values(static_cast<float>(input.text().size()) + 0.1F);
      embedding->add_values(static_cast<float>(request->pooling()));
      embedding->add_values(request->normalize() ? 1.0F : 0.0F);
    }
    return grpc::Status::OK;
  }

  grpc::Status Detokenize(grpc::ServerContext* /*context*/, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    for (uint32_t id : request->token_ids()) {
      if (id == 0 && request->skip_special_tokens()) continue;
      response->mutable_text()->append(id == 0 ? "<s>" : std::string(1, static_cast<char>(id)));
    }
    return grpc::Status::OK;
  }

  grpc::Status EstimateCost(grpc::ServerContext* /*context*/, const v1::GenerateRequest* request,
                            v1::CostEstimate* response) override {
    const bool fits = request->stopping().max_new_tokens() <= 1000;
    response->set_prompt_tokens(static_cast<uint32_t>(request->text().size()));
    response->set_kv_blocks(2);
    response->set_kv_bytes(3 << 20);
    response->set_fits_ever(fits);
    if (!fits) response->set_refusal("longer than the capacity");
    response->set_fits_now(fits);
    return grpc::Status::OK;
  }

  grpc::Status Abort(grpc::ServerContext* /*context*/, const v1::AbortRequest* request,
                     v1::AbortResponse* response) override {
    const std::lock_guard<std::mutex> lock(mutex);
    aborted = request->request_id() == "live";
    response->set_aborted(aborted);
    return grpc::Status::OK;
  }

  grpc::Status GetModelInfo(grpc::ServerContext* /*context*/,
                            const v1::GetModelInfoRequest* /*request*/,
                            v1::ModelInfo* response) override {
    response->set_name("fake");
    response->set_architecture("FakeForCausalLM");
    response->set_parameters(3'100'000);
    response->set_vocab_size(256);
    response->set_capacity_tokens(4096);
    response->add_eos_token_ids(7);
    const std::lock_guard<std::mutex> lock(mutex);
    response->set_has_chat_template(has_chat_template);
    return grpc::Status::OK;
  }

  grpc::Status GetServerInfo(grpc::ServerContext* /*context*/,
                             const v1::GetServerInfoRequest* /*request*/,
                             v1::ServerInfo* response) override {
    response->set_version("9.9");
    response->set_state(v1::SERVER_STATE_SERVING);
    response->mutable_uptime()->set_seconds(3 * 3600 + 120);
    return grpc::Status::OK;
  }

  mutable std::mutex mutex;
  // Guarded by mutex.
  Stream stream = &FakeServer::Echo;
  std::vector<v1::GenerateRequest> requests;
  int open_streams = 0;
  int peak_streams = 0;
  int cancelled_streams = 0;
  bool aborted = false;
  bool has_chat_template = true;

 private:
  Stream Begin(const v1::GenerateRequest& request) {
    const std::lock_guard<std::mutex> lock(mutex);
    requests.push_back(request);
    peak_streams = std::max(peak_streams, ++open_streams);
    return stream;
  }

  void End() {
    const std::lock_guard<std::mutex> lock(mutex);
    --open_streams;
  }
};

// Answers with the numbers of the request.
class FakeServer::AdminService : public v1::AdminService::Service {
 public:
  grpc::Status SetRopeScaling(grpc::ServerContext* /*context*/,
                              const v1::SetRopeScalingRequest* request,
                              v1::SetRopeScalingResponse* response) override {
    response->set_rope_scaling(absl::StrCat(static_cast<int>(request->kind()), " ",
                                            request->factor(), " ", request->original_context()));
    return grpc::Status::OK;
  }
};

FakeServer::FakeServer(const std::string& listen)
    : service_(std::make_unique<Service>()), admin_service_(std::make_unique<AdminService>()) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service_.get());
  builder.RegisterService(admin_service_.get());
  server_ = builder.BuildAndStart();
  address_ = absl::StartsWith(listen, "unix:")
                 ? listen
                 : absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  SetServing(true);
}

FakeServer::~FakeServer() { server_->Shutdown(absl::ToChronoTime(absl::Now())); }

void FakeServer::SetServing(bool serving) {
  server_->GetHealthCheckService()->SetServingStatus(serving);
}

void FakeServer::SetStream(Stream stream) {
  const std::lock_guard<std::mutex> lock(service_->mutex);
  service_->stream = std::move(stream);
}

void FakeServer::SetHasChatTemplate(bool has) {
  const std::lock_guard<std::mutex> lock(service_->mutex);
  service_->has_chat_template = has;
}

grpc::Status FakeServer::Echo(grpc::ServerContext& /*context*/, const v1::GenerateRequest& request,
                              const Write& write) {
  const uint32_t prompt_tokens = request.has_token_ids()
                                     ? static_cast<uint32_t>(request.token_ids().ids_size())
                                     : static_cast<uint32_t>(request.text().size());
  const uint32_t num_tokens =
      request.stopping().has_max_new_tokens() ? request.stopping().max_new_tokens() : 3;
  const uint32_t num_samples = request.has_num_sequences() ? request.num_sequences() : 1;
  write(Started(request.request_id().empty() ? "made-up" : request.request_id(), prompt_tokens,
                request.sampling().has_seed() ? request.sampling().seed() : 42));
  if (request.response().echo_prompt()) {
    v1::GenerateEvent prompt;
    prompt.mutable_prompt()->set_text(request.text());
    write(prompt);
  }
  for (uint32_t i = 0; i < num_tokens; ++i) {
    for (uint32_t sample = 0; sample < num_samples; ++sample) {
      if (!write(Delta(sample, absl::StrCat(" t", i), {100 + i}))) return grpc::Status::CANCELLED;
    }
  }
  // The last sample finishes first: their order is not the client's to rely on.
  for (uint32_t sample = num_samples; sample-- > 0;) {
    write(Finished(sample, v1::FINISH_REASON_MAX_TOKENS, prompt_tokens, num_tokens));
  }
  return grpc::Status::OK;
}

FakeServer::Stream FakeServer::Hang() {
  return
      [this](grpc::ServerContext& context, const v1::GenerateRequest& request, const Write& write) {
        write(Started(request.request_id(), 1, 42));
        write(Delta(0, " t0", {100}));
        while (!context.IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
        const std::lock_guard<std::mutex> lock(service_->mutex);
        ++service_->cancelled_streams;
        return grpc::Status::CANCELLED;
      };
}

FakeServer::Stream FakeServer::HangUntilAborted() {
  return [this](grpc::ServerContext& context, const auto& /*request*/, const Write& write) {
    write(Started("live", 1, 42));
    write(Delta(0, " t0", {100}));
    const bool ended = AwaitTrue(absl::Seconds(10), [&] {
      const std::lock_guard<std::mutex> lock(service_->mutex);
      return service_->aborted || context.IsCancelled();
    });
    if (!ended || context.IsCancelled()) return grpc::Status::CANCELLED;
    write(Finished(0, v1::FINISH_REASON_CANCELLED, 1, 5));
    return grpc::Status::OK;
  };
}

std::vector<v1::GenerateRequest> FakeServer::requests() const {
  const std::lock_guard<std::mutex> lock(service_->mutex);
  return service_->requests;
}

bool FakeServer::AwaitCancelled(int count, absl::Duration timeout) const {
  return AwaitTrue(timeout, [&] {
    const std::lock_guard<std::mutex> lock(service_->mutex);
    return service_->cancelled_streams >= count;
  });
}

bool FakeServer::AwaitStreams(int count, absl::Duration timeout) const {
  return AwaitTrue(timeout, [&] { return static_cast<int>(requests().size()) >= count; });
}

int FakeServer::peak_streams() const {
  const std::lock_guard<std::mutex> lock(service_->mutex);
  return service_->peak_streams;
}

}  // namespace quire::testing
