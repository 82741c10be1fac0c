#include "server/generation_service.h"

#include <google/protobuf/descriptor.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/status_macros.h"
#include "server/checked_message.h"
#include "server/embed_reactor.h"
#include "server/generate_reactors.h"
#include "server/grpc_status.h"
#include "server/info.h"
#include "server/limits.h"

namespace quire {
namespace {

grpc::ServerUnaryReactor* FinishNow(grpc::CallbackServerContext* context,
                                    const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpcStatus(status));
  return reactor;
}

// Runs `work`, which finishes the reactor that it is given, here, or on a tokenizer worker if there
// is much text to go through.
grpc::ServerUnaryReactor* RunWithText(Services& services, grpc::CallbackServerContext* context,
                                      size_t text_bytes,
                                      std::function<void(grpc::ServerUnaryReactor*)> work) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (text_bytes <= kInlineTextBytes) {
    work(reactor);
  } else if (!services.tokenizer_workers.Run([=, work = std::move(work)] { work(reactor); })) {
    reactor->Finish(ToGrpcStatus(
        absl::ResourceExhaustedError("too many long texts wait to be tokenised; try again later")));
  }
  return reactor;
}

absl::Status NoTokenizer() {
  return absl::FailedPreconditionError("the model has no tokenizer.json");
}

absl::Status Tokenize(const Services& services, const v1::TokenizeRequest& request,
                      v1::TokenizeResponse& response) {
  if (services.tokenizer == nullptr) return NoTokenizer();
  std::string chat_text;
  bool add_special = !request.has_add_special_tokens() || request.add_special_tokens();
  switch (request.input_case()) {
    case v1::TokenizeRequest::kText:
      break;
    case v1::TokenizeRequest::kChat: {
      QUIRE_ASSIGN_OR_RETURN(chat_text, RenderChat(request.chat(), services.codec()));
      add_special = request.add_special_tokens();  // the template writes them itself
      break;
    }
    case v1::TokenizeRequest::INPUT_NOT_SET:
      return absl::InvalidArgumentError("input is not set; send text or chat");
  }
  QUIRE_ASSIGN_OR_RETURN(
      const std::vector<TokenId> ids,
      services.tokenizer->Encode(request.has_chat() ? chat_text : request.text(), add_special));
  response.mutable_token_ids()->Reserve(static_cast<int>(ids.size()));
  for (TokenId id : ids) response.add_token_ids(static_cast<uint32_t>(id));
  return absl::OkStatus();
}

absl::Status Detokenize(const Services& services, const v1::DetokenizeRequest& request,
                        v1::DetokenizeResponse& response) {
  if (services.tokenizer == nullptr) return NoTokenizer();
  if (request.token_ids_size() > kMaxDetokenizeIds) {
    return absl::InvalidArgumentError(absl::StrCat("token_ids has ", request.token_ids_size(),
                                                   " entries; the limit is ", kMaxDetokenizeIds));
  }
  QUIRE_RETURN_IF_ERROR(
      CheckTokenIds(request.token_ids(), services.model->config().vocab_size, "token_ids"));
  const std::vector<TokenId> ids(request.token_ids().begin(), request.token_ids().end());
  const bool skip_special = !request.has_skip_special_tokens() || request.skip_special_tokens();
  response.set_text(services.tokenizer->Decode(ids, skip_special));
  return absl::OkStatus();
}

void FillEstimate(const LoadedModel& model, const Request& request, const FitReport& report,
                  v1::CostEstimate& response) {
  response.set_prompt_tokens(static_cast<uint32_t>(request.prompt.size()));
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  for (size_t group = 0; group < report.blocks.size(); ++group) {
    blocks += static_cast<uint64_t>(report.blocks[group]);
    bytes += static_cast<uint64_t>(report.blocks[group]) * model.block_bytes()[group];
  }
  response.set_kv_blocks(blocks);
  response.set_kv_bytes(bytes);
  response.set_fits_ever(report.fits_ever);
  response.set_fits_now(report.fits_now);
  response.set_cached_prompt_tokens(static_cast<uint32_t>(report.cached_tokens));
}

// Asks the engine, and finishes the call from its thread.
void Estimate(Services& services, const v1::GenerateRequest& wire, v1::CostEstimate* response,
              grpc::ServerUnaryReactor* reactor) {
  absl::StatusOr<DecodedRequest> decoded =
      DecodeRequest(wire, services.codec(), absl::InfiniteFuture());
  if (!decoded.ok()) {
    reactor->Finish(ToGrpcStatus(decoded.status()));
    return;
  }
  const auto request = std::make_shared<const Request>(std::move(decoded->request));
  const absl::Status fits = services.engine().CheckFits(*request);
  response->set_refusal(std::string(fits.message()));
  const absl::Status asked =
      services.engine().Estimate(request, [=, &services](const FitReport& report) {
        FillEstimate(*services.model, *request, report, *response);
        reactor->Finish(grpc::Status::OK);
      });
  if (!asked.ok()) reactor->Finish(ToGrpcStatus(asked));
}

int MethodIndex(const std::string& name) {
  const std::string service = v1::GenerationService::service_full_name();
  return google::protobuf::DescriptorPool::generated_pool()
      ->FindMethodByName(absl::StrCat(service, ".", name))
      ->index();
}

}  // namespace

// Puts a handler in the place of the generated one, as that one is made, but for its request type.
template <typename Request, typename Response>
void GenerationServiceImpl::CheckRequestsOf(const char* name,
                                            UnaryMethod<Request, Response> method) {
  MarkMethodCallback(MethodIndex(name),
                     new grpc::internal::CallbackUnaryHandler<Checked<Request>, Response>(
                         [this, method](grpc::CallbackServerContext* context,
                                        const Checked<Request>* request, Response* response) {
                           if (!request->status.ok()) return FinishNow(context, request->status);
                           return (this->*method)(context, &request->message, response);
                         }));
}

// Every method whose request holds strings.
GenerationServiceImpl::GenerationServiceImpl(Services& services) : services_(services) {
  CheckRequestsOf("Generate", &GenerationServiceImpl::Generate);
  CheckRequestsOf("Embed", &GenerationServiceImpl::Embed);
  CheckRequestsOf("Tokenize", &GenerationServiceImpl::Tokenize);
  CheckRequestsOf("EstimateCost", &GenerationServiceImpl::EstimateCost);
  CheckRequestsOf("Abort", &GenerationServiceImpl::Abort);
  MarkMethodCallback(
      MethodIndex("GenerateStream"),
      new grpc::internal::CallbackServerStreamingHandler<Checked<v1::GenerateRequest>,
                                                         v1::GenerateEvent>(
          [this](grpc::CallbackServerContext* context,
                 const Checked<v1::GenerateRequest>* request) {
            if (!request->status.ok()) return RefuseGenerateStream(request->status);
            return GenerateStream(context, &request->message);
          }));
}

grpc::ServerUnaryReactor* GenerationServiceImpl::Generate(grpc::CallbackServerContext* context,
                                                          const v1::GenerateRequest* request,
                                                          v1::GenerateResponse* response) {
  return StartGenerate(services_, *context, *request, *response);
}

grpc::ServerWriteReactor<v1::GenerateEvent>* GenerationServiceImpl::GenerateStream(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* request) {
  return StartGenerateStream(services_, *context, *request);
}

grpc::ServerUnaryReactor* GenerationServiceImpl::Embed(grpc::CallbackServerContext* context,
                                                       const v1::EmbedRequest* request,
                                                       v1::EmbedResponse* response) {
  return StartEmbed(services_, *context, *request, *response);
}

grpc::ServerUnaryReactor* GenerationServiceImpl::Tokenize(grpc::CallbackServerContext* context,
                                                          const v1::TokenizeRequest* request,
                                                          v1::TokenizeResponse* response) {
  return RunWithText(
      services_, context, request->text().size() + TextBytes(request->chat()),
      [this, request, response](grpc::ServerUnaryReactor* reactor) {
        reactor->Finish(ToGrpcStatus(quire::Tokenize(services_, *request, *response)));
      });
}

grpc::ServerUnaryReactor* GenerationServiceImpl::Detokenize(grpc::CallbackServerContext* context,
                                                            const v1::DetokenizeRequest* request,
                                                            v1::DetokenizeResponse* response) {
  return RunWithText(
      services_, context, request->token_ids_size() * size_t{4},
      [this, request, response](grpc::ServerUnaryReactor* reactor) {
        reactor->Finish(ToGrpcStatus(quire::Detokenize(services_, *request, *response)));
      });
}

grpc::ServerUnaryReactor* GenerationServiceImpl::EstimateCost(grpc::CallbackServerContext* context,
                                                              const v1::GenerateRequest* request,
                                                              v1::CostEstimate* response) {
  return RunWithText(services_, context, TextBytes(*request),
                     [this, request, response](grpc::ServerUnaryReactor* reactor) {
                       Estimate(services_, *request, response, reactor);
                     });
}

grpc::ServerUnaryReactor* GenerationServiceImpl::Abort(grpc::CallbackServerContext* context,
                                                       const v1::AbortRequest* request,
                                                       v1::AbortResponse* response) {
  if (request->request_id().empty()) {
    return FinishNow(context, absl::InvalidArgumentError("request_id is empty"));
  }
  const LiveRequests::Aborted aborted =
      services_.live_requests.Abort(request->tenant(), request->request_id());
  for (int64_t i = 0; i < aborted.count; ++i) {
    services_.engine().Cancel(RequestKey(aborted.key->value() + i));
  }
  response->set_aborted(aborted.was_live);
  return FinishNow(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* GenerationServiceImpl::GetModelInfo(
    grpc::CallbackServerContext* context, const v1::GetModelInfoRequest* /*request*/,
    v1::ModelInfo* response) {
  FillModelInfo(services_, *response);
  return FinishNow(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* GenerationServiceImpl::GetServerInfo(
    grpc::CallbackServerContext* context, const v1::GetServerInfoRequest* /*request*/,
    v1::ServerInfo* response) {
  FillServerInfo(services_, *response);
  return FinishNow(context, absl::OkStatus());
}

}  // namespace quire
