// The grain of a device's memory.
#ifndef QUIRE_CORE_ALLOCATION_BYTES_H_
#define QUIRE_CORE_ALLOCATION_BYTES_H_

#include <cstddef>

namespace quire {

// What a buffer of `bytes` takes: buffers begin at multiples of 256 bytes.
constexpr size_t AllocationBytes(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace quire

#endif  // QUIRE_CORE_ALLOCATION_BYTES_H_
