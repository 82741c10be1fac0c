// What pools the hidden states of a text into one vector.
#ifndef QUIRE_CORE_POOLING_H_
#define QUIRE_CORE_POOLING_H_

#include <cstdint>

namespace quire {

enum class Pooling : uint8_t {
  kMean,  // of all tokens
  kCls,   // the first token's
  kLast,  // the last token's
};

}  // namespace quire

#endif  // QUIRE_CORE_POOLING_H_
