// One GenerateStream call, as a range of events.
//
//   GenerateStream stream = client.Stream(MakeRequest("Once upon a time"));
//   for (const v1::GenerateEvent& event : stream) std::cout << event.delta().text();
//   absl::Status status = stream.Finish();
#ifndef QUIRE_CLIENT_GENERATE_STREAM_H_
#define QUIRE_CLIENT_GENERATE_STREAM_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "client/channel.h"
#include "quire/v1/generation.pb.h"

namespace quire {

// One thread reads; Cancel may come from any other. Outlives the client that made it.
class GenerateStream {
 public:
  // `reader` belongs to a call over `connection` with `context`: Client::Stream makes all three.
  GenerateStream(std::shared_ptr<const Connection> connection,
                 std::unique_ptr<grpc::ClientContext> context,
                 std::unique_ptr<grpc::ClientReaderInterface<v1::GenerateEvent>> reader);
  // A stream without events: the request could not be sent.
  explicit GenerateStream(absl::Status status) : status_(std::move(status)) {}
  GenerateStream(GenerateStream&&) = default;
  GenerateStream& operator=(GenerateStream&&) = delete;
  // Cancels the request if it still runs.
  ~GenerateStream();

  // Waits for the next event; null at the end. Valid until the next call.
  const v1::GenerateEvent* Next();

  // Ends the request on the server too. What is on its way may still come.
  void Cancel();

  // Reads to the end, dropping what is left, and tells how the call ended: CANCELLED after Cancel,
  // else what the server said. A server that cannot be reached is UNAVAILABLE.
  absl::Status Finish();

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = v1::GenerateEvent;
    using difference_type = std::ptrdiff_t;
    using pointer = const v1::GenerateEvent*;
    using reference = const v1::GenerateEvent&;

    explicit Iterator(GenerateStream& stream) : stream_(&stream), event_(stream.Next()) {}
    reference operator*() const { return *event_; }
    pointer operator->() const { return event_; }
    Iterator& operator++() {
      event_ = stream_->Next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& a, std::default_sentinel_t) {
      return a.event_ == nullptr;
    }

   private:
    GenerateStream* stream_;
    const v1::GenerateEvent* event_;
  };
  // Takes the first event that has not been taken yet: one walk in all.
  Iterator begin() { return Iterator(*this); }
  static std::default_sentinel_t end() { return std::default_sentinel; }

 private:
  std::shared_ptr<const Connection> connection_;
  std::unique_ptr<grpc::ClientContext> context_;  // null once moved from, or where never sent
  std::unique_ptr<grpc::ClientReaderInterface<v1::GenerateEvent>> reader_;
  v1::GenerateEvent event_;
  std::optional<absl::Status> status_;  // once ended
};

}  // namespace quire

#endif  // QUIRE_CLIENT_GENERATE_STREAM_H_
