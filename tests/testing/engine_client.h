// Runs requests on an engine and waits for them, for tests.
#ifndef QUIRE_TESTS_TESTING_ENGINE_CLIENT_H_
#define QUIRE_TESTS_TESTING_ENGINE_CLIENT_H_

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/engine.h"

namespace quire::testing {

// What a client of one request has seen.
struct Outcome {
  struct OneSequence {
    std::vector<TokenId> tokens;
    std::vector<TokenLogprobs> logprobs;
    std::optional<Finish> finish;
  };
  std::vector<OneSequence> sequences;
  std::vector<TokenLogprobs> prompt_logprobs;
};

// One submitted request. Reads on the thread that calls Await*.
class Call {
 public:
  // CHECKs that the engine takes it.
  Call(Engine& engine, Request request);

  // Reads events until the request has ended, or (in AwaitTokens) sequence 0 has `count` tokens.
  const Outcome& AwaitEnd();
  const Outcome& AwaitTokens(size_t count);
  const Outcome& seen() const { return outcome_; }
  RequestKey key() const { return submission_.key; }
  void Cancel() { engine_.Cancel(submission_.key); }

 private:
  // Shared with the engine's callback, which may outlive the call.
  struct Signal {
    std::mutex mutex;
    std::condition_variable changed;
    bool ready = false;
  };
  void ReadMore();

  Engine& engine_;
  std::shared_ptr<Signal> signal_ = std::make_shared<Signal>();
  Engine::Submission submission_;
  Outcome outcome_;
  int unfinished_ = 0;
};

inline Outcome Run(Engine& engine, Request request) {
  return Call(engine, std::move(request)).AwaitEnd();
}

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_ENGINE_CLIENT_H_
