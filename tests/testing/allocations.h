// Counts heap allocations, by standing in for malloc and its kin in the test's program.
#ifndef QUIRE_TESTS_TESTING_ALLOCATIONS_H_
#define QUIRE_TESTS_TESTING_ALLOCATIONS_H_

#include <cstdint>

namespace quire::testing {

// False under sanitizers, which have a malloc of their own.
bool CountsAllocations();

// Of all threads, since the program began.
int64_t Allocations();

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_ALLOCATIONS_H_
