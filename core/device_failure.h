// What a device that is lost with all that is in it does to the process: nothing of it can be used
// again, so the process ends, with one line on stderr and an exit code of its own. Whoever started
// it may start it anew.
#ifndef QUIRE_CORE_DEVICE_FAILURE_H_
#define QUIRE_CORE_DEVICE_FAILURE_H_

#include <functional>
#include <string>

namespace quire {

inline constexpr int kDeviceFailureExitCode = 70;  // EX_SOFTWARE of sysexits.h

// What is done once before the end, with the line that is printed: live requests are failed. It
// runs on the thread that met the failure and must not touch the device. Empty: nothing.
void SetDeviceFailureHandler(std::function<void(const std::string& line)> handler);

// Ends the process without running destructors, which would call the device. Thread-safe: the first
// caller prints and ends it, others wait for the end.
[[noreturn]] void EndAfterDeviceFailure(const std::string& line);

}  // namespace quire

#endif  // QUIRE_CORE_DEVICE_FAILURE_H_
