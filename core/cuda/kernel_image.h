// Which GPUs this program's kernels are compiled for.
#ifndef QUIRE_CORE_CUDA_KERNEL_IMAGE_H_
#define QUIRE_CORE_CUDA_KERNEL_IMAGE_H_

namespace quire {

// Whether the thread's current device is one of them: where not, every launch would fail.
bool HasKernelImage();

// QUIRE_CUDA_ARCHITECTURES of the build, such as "80, 90a".
const char* KernelArchitectures();

}  // namespace quire

#endif  // QUIRE_CORE_CUDA_KERNEL_IMAGE_H_
