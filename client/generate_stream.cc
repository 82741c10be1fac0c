#include "client/generate_stream.h"

#include <utility>

namespace quire {

GenerateStream::GenerateStream(
    std::shared_ptr<const Connection> connection, std::unique_ptr<grpc::ClientContext> context,
    std::unique_ptr<grpc::ClientReaderInterface<v1::GenerateEvent>> reader)
    : connection_(std::move(connection)),
      context_(std::move(context)),
      reader_(std::move(reader)) {}

GenerateStream::~GenerateStream() {
  if (context_ == nullptr || status_) return;
  context_->TryCancel();
  // gRPC wants every call's status taken; after a cancel it is there at once.
  reader_->Finish();
}

const v1::GenerateEvent* GenerateStream::Next() {
  if (status_) return nullptr;
  if (reader_->Read(&event_)) return &event_;
  status_ = connection_->Explain(reader_->Finish());
  return nullptr;
}

void GenerateStream::Cancel() {
  if (context_ != nullptr) context_->TryCancel();
}

absl::Status GenerateStream::Finish() {
  while (Next() != nullptr) {
  }
  return *status_;
}

}  // namespace quire
