// The kernels of ops/cuda/row_ops.cuh on the device: each call launches one, in the queue's order.
#ifndef QUIRE_OPS_CUDA_LAUNCH_ROW_OPS_H_
#define QUIRE_OPS_CUDA_LAUNCH_ROW_OPS_H_

#include "core/cuda/device_queue.h"
#include "ops/cuda/row_op_args.h"

namespace quire::cuda {

void ActivateRows(DeviceQueue& queue, const ActivateRowsArgs& args);
void AddRows(DeviceQueue& queue, const AddRowsArgs& args);
void Softcap(DeviceQueue& queue, const SoftcapArgs& args);
void GatherRows(DeviceQueue& queue, const GatherRowsArgs& args);
void SumRows(DeviceQueue& queue, const SumRowsArgs& args);

}  // namespace quire::cuda

#endif  // QUIRE_OPS_CUDA_LAUNCH_ROW_OPS_H_
