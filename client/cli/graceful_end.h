// How a stream ends before its time: the server is asked to end the request, which then comes with
// its true usage; where that takes too long, the stream is dropped.
#ifndef QUIRE_CLIENT_CLI_GRACEFUL_END_H_
#define QUIRE_CLIENT_CLI_GRACEFUL_END_H_

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "client/client.h"

namespace quire::cli {

// Thread-safe; both outlive it.
class GracefulEnd {
 public:
  GracefulEnd(const Client& client, GenerateStream& stream, std::string tenant);
  GracefulEnd(const GracefulEnd&) = delete;
  GracefulEnd& operator=(const GracefulEnd&) = delete;
  ~GracefulEnd();

  // The id under which the server has accepted the request.
  void SetRequestId(const std::string& request_id);
  // Returns at once; the reader sees the end of the stream soon. Once at most.
  void Begin();

 private:
  void End();

  const Client& client_;
  GenerateStream& stream_;
  std::mutex mutex_;
  std::condition_variable changed_;
  v1::AbortRequest request_;  // guarded by mutex_
  bool done_ = false;         // guarded by mutex_
  std::thread thread_;
};

}  // namespace quire::cli

#endif  // QUIRE_CLIENT_CLI_GRACEFUL_END_H_
