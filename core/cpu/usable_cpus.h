// How many CPUs this process can keep busy.
#ifndef QUIRE_CORE_CPU_USABLE_CPUS_H_
#define QUIRE_CORE_CPU_USABLE_CPUS_H_

#include <string>

namespace quire {

// The affinity mask's CPUs (taskset, cpusets), or fewer where a control group's quota (docker
// --cpus, Kubernetes limits) allows less time, rounded up: threads beyond it would only be
// throttled, all at once and in the middle of a step. /proc and /sys are looked for under `root`.
int UsableCpus(const std::string& root = "/");

}  // namespace quire

#endif  // QUIRE_CORE_CPU_USABLE_CPUS_H_
