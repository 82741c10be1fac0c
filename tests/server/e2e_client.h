// What the end-to-end tests of the server ask of it.
#ifndef QUIRE_TESTS_SERVER_E2E_CLIENT_H_
#define QUIRE_TESTS_SERVER_E2E_CLIENT_H_

#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "quire/v1/generation.grpc.pb.h"

namespace quire::testing {

inline const char kModel[] = QUIRE_SOURCE_DIR "/models/fairytale";

// What one stream gave.
struct Streamed {
  std::vector<v1::GenerateEvent> events;
  std::vector<std::string> texts;                // by sequence
  std::vector<std::vector<uint32_t>> token_ids;  // by sequence
  std::vector<v1::Finished> finished;
  grpc::Status status;
};

inline Streamed Stream(v1::GenerationService::Stub& stub, const v1::GenerateRequest& request) {
  Streamed got;
  const uint32_t count = request.has_num_sequences() ? request.num_sequences() : 1;
  got.texts.resize(count);
  got.token_ids.resize(count);
  grpc::ClientContext context;
  const auto reader = stub.GenerateStream(&context, request);
  v1::GenerateEvent event;
  while (reader->Read(&event)) {
    if (event.has_delta()) {
      const uint32_t index = event.delta().sequence_index();
      got.texts[index] += event.delta().text();
      got.token_ids[index].insert(got.token_ids[index].end(), event.delta().token_ids().begin(),
                                  event.delta().token_ids().end());
    }
    if (event.has_finished()) got.finished.push_back(event.finished());
    got.events.push_back(event);
  }
  got.status = reader->Finish();
  return got;
}

inline v1::GenerateRequest Text(const std::string& text, uint32_t max_new_tokens) {
  v1::GenerateRequest request;
  request.set_text(text);
  request.mutable_stopping()->set_max_new_tokens(max_new_tokens);
  request.mutable_sampling()->set_seed(11);
  return request;
}

inline v1::ServerInfo Info(v1::GenerationService::Stub& stub) {
  grpc::ClientContext context;
  v1::ServerInfo info;
  EXPECT_TRUE(stub.GetServerInfo(&context, {}, &info).ok());
  return info;
}

// One message there and one back, as bytes.
inline grpc::Status RawCall(const std::string& address, const std::string& method,
                            const std::string& request, std::string* response = nullptr) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const grpc::Slice sent(request);
  const auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&sent, 1), &queue);
  grpc::ByteBuffer got;
  grpc::Status status;
  void* tag = nullptr;
  bool ok = false;
  call->StartCall();
  call->Finish(&got, &status, nullptr);
  queue.Next(&tag, &ok);
  grpc::Slice bytes;
  if (response != nullptr && status.ok() && got.DumpToSingleSlice(&bytes).ok()) {
    response->assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }
  return status;
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_SERVER_E2E_CLIENT_H_
