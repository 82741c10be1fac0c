// Who a thread is. Blocks have one dimension and whole warps, grids up to three.
#ifndef QUIRE_CORE_CUDA_PRIMITIVES_INDEX_CUH_
#define QUIRE_CORE_CUDA_PRIMITIVES_INDEX_CUH_

#include "core/cuda/primitives/target.cuh"

namespace quire::QUIRE_CUDA_TARGET {

#if QUIRE_EMULATED
inline int ThreadIndex() { return emulation::ThreadIndex(); }
inline int BlockThreads() { return emulation::BlockThreads(); }
inline int64_t BlockX() { return emulation::BlockIndex().x; }
inline int BlockY() { return static_cast<int>(emulation::BlockIndex().y); }
inline int BlockZ() { return static_cast<int>(emulation::BlockIndex().z); }
inline int64_t GridX() { return emulation::GridSize().x; }
inline int GridY() { return static_cast<int>(emulation::GridSize().y); }
inline int GridZ() { return static_cast<int>(emulation::GridSize().z); }
#else
QUIRE_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
QUIRE_DEVICE int BlockThreads() { return static_cast<int>(blockDim.x); }
QUIRE_DEVICE int64_t BlockX() { return blockIdx.x; }
QUIRE_DEVICE int BlockY() { return static_cast<int>(blockIdx.y); }
QUIRE_DEVICE int BlockZ() { return static_cast<int>(blockIdx.z); }
QUIRE_DEVICE int64_t GridX() { return gridDim.x; }
QUIRE_DEVICE int GridY() { return static_cast<int>(gridDim.y); }
QUIRE_DEVICE int GridZ() { return static_cast<int>(gridDim.z); }
#endif

QUIRE_DEVICE int LaneIndex() { return ThreadIndex() % kWarpLanes; }
QUIRE_DEVICE int WarpIndex() { return ThreadIndex() / kWarpLanes; }
QUIRE_DEVICE int BlockWarps() { return BlockThreads() / kWarpLanes; }

}  // namespace quire::QUIRE_CUDA_TARGET

#endif  // QUIRE_CORE_CUDA_PRIMITIVES_INDEX_CUH_
