// QUIRE_RETURN_IF_ERROR and QUIRE_ASSIGN_OR_RETURN over absl::Status.
#ifndef QUIRE_CORE_STATUS_MACROS_H_
#define QUIRE_CORE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define QUIRE_RETURN_IF_ERROR(expression)                     \
  do {                                                        \
    if (absl::Status status_ = (expression); !status_.ok()) { \
      return status_;                                         \
    }                                                         \
  } while (false)

#define QUIRE_CONCAT_INNER_(a, b) a##b
#define QUIRE_CONCAT_(a, b) QUIRE_CONCAT_INNER_(a, b)

#define QUIRE_ASSIGN_OR_RETURN(target, expression) \
  QUIRE_ASSIGN_OR_RETURN_(QUIRE_CONCAT_(status_or_, __LINE__), target, expression)

#define QUIRE_ASSIGN_OR_RETURN_(result, target, expression) \
  auto result = (expression);                               \
  if (!result.ok()) {                                       \
    return std::move(result).status();                      \
  }                                                         \
  target = *std::move(result)

#endif  // QUIRE_CORE_STATUS_MACROS_H_
