// Bounds on what a request may hold. Each refusal names the field, the value and the limit.
#ifndef QUIRE_SERVER_LIMITS_H_
#define QUIRE_SERVER_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace quire {

inline constexpr int kMaxMessageBytes = 4 << 20;
// Calls of one connection at a time; a client's further ones wait on its side. Enough for a proxy
// that brings as many as the queue holds.
inline constexpr int kMaxStreamsPerConnection = 1024;
inline constexpr uint32_t kMaxSequencesPerRequest = 32;
inline constexpr int kMaxStopStrings = 16;
inline constexpr size_t kMaxStopStringBytes = 256;
inline constexpr int kMaxStopTokenIds = 64;
inline constexpr uint32_t kMaxTopLogprobs = 20;
inline constexpr int kMaxLogitBias = 1024;
inline constexpr float kMaxBias = 1000.0F;
inline constexpr float kMaxTemperature = 100.0F;
inline constexpr float kMaxPenalty = 100.0F;
inline constexpr float kMinRepetitionPenalty = 0.01F;  // less makes logits overflow
inline constexpr size_t kMaxNameBytes = 256;           // request_id, tenant, cache_salt
inline constexpr int kMaxChatMessages = 1 << 14;
inline constexpr size_t kMaxRoleBytes = 64;
inline constexpr size_t kMaxChatBytes = 4 << 20;  // roles and contents together
inline constexpr int kMaxDetokenizeIds = 1 << 20;
inline constexpr int kMaxEmbedInputs = 256;
// Texts up to this are tokenised on gRPC's own threads.
inline constexpr size_t kInlineTextBytes = 32 << 10;
// Prompt events are cut into pieces of about this size.
inline constexpr size_t kPromptPieceBytes = 256 << 10;

}  // namespace quire

#endif  // QUIRE_SERVER_LIMITS_H_
