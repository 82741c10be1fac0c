// A batch of sequences over a paged KV cache for tests: unique shuffled blocks, NaN in every byte
// that nobody wrote, and wild block ids in table entries that no row sees.
#ifndef QUIRE_TESTS_TESTING_PAGED_KV_H_
#define QUIRE_TESTS_TESTING_PAGED_KV_H_

#include <cstdint>
#include <vector>

#include "attention/attention.h"

namespace quire::testing {

// A chunk of one sequence: its last `query_tokens` of `kv_tokens`.
struct KvEntry {
  int32_t query_tokens = 1;
  int32_t kv_tokens = 1;
};

// Keys in front of the windows, as in KvPrefix.
struct PrefixSpec {
  int tokens = 0;
  bool shared = false;
};

class PagedKv {
 public:
  // The pool holds the pages of all entries, in shuffled order, and a few more. The oldest pages
  // that no row of a window model sees are wild or, where `drop_old_pages`, left out of the table
  // by first_block. The pages of a prefix stand in prefix_blocks, and in the table only where a
  // window holds them too.
  PagedKv(const GqaShape& shape, int block_tokens, DType cache_dtype,
          const std::vector<KvEntry>& entries, uint32_t seed = 1, bool drop_old_pages = true,
          PrefixSpec prefix = {});
  PagedKv(const PagedKv&) = delete;
  PagedKv& operator=(const PagedKv&) = delete;

  const GqaShape& shape() const { return shape_; }
  int64_t num_tokens() const { return query_start_.back(); }  // T
  int64_t num_entries() const { return static_cast<int64_t>(kv_len_.size()); }
  const PagedKvView& view() const { return view_; }
  AttentionBatch batch() const;
  KvPrefix prefix() const;  // without q2
  // The batch of entry `e`'s rows [begin, end) alone, counted within the entry. Borrows from
  // `storage`, which the caller keeps.
  struct SliceStorage {
    std::vector<int32_t> query_start, kv_len, table_start, first_block, prefix_start;
  };
  AttentionBatch Slice(int64_t e, int32_t begin, int32_t end, SliceStorage& storage) const;

  // Writes a key or value element of entry `e`.
  void SetKey(int64_t e, int64_t position, int head, int d, float value);
  void SetValue(int64_t e, int64_t position, int head, int d, float value);
  // Standard normal keys and values at every position that some row of the batch sees, and in a
  // shared prefix.
  void FillNormal(uint32_t seed);

  std::vector<uint8_t>& bytes() { return pool_; }
  const std::vector<uint8_t>& bytes() const { return pool_; }

 private:
  int32_t Pages(int64_t tokens) const;
  // The first position behind an own prefix that the first row of entry `e` sees.
  int64_t FirstSeen(int64_t e) const;
  void AddTable(int64_t e, bool drop_old_pages, std::vector<int32_t>& free);
  // The block that holds `position` of entry `e`.
  int32_t BlockOf(int64_t e, int64_t position) const;
  void SetElement(int32_t block, int64_t offset, float value);
  template <typename Random>
  void FillToken(int32_t block, int64_t position, Random random);

  GqaShape shape_;
  PrefixSpec prefix_;
  PagedKvView view_;
  std::vector<uint8_t> pool_;
  std::vector<int32_t> query_start_, kv_len_, positions_, table_start_, first_block_, blocks_;
  std::vector<int32_t> prefix_start_, prefix_blocks_;  // one entry's where shared
  std::vector<int64_t> slots_;
};

// cos and sin of theta^(-2i / rotary_dim) p, computed in fp64.
class RopeTables {
 public:
  RopeTables(int64_t num_rows, int rotary_dim, double theta = 10000.0);
  RopeTable view() const;

 private:
  int64_t num_rows_;
  int rotary_dim_;
  std::vector<float> cos_, sin_;
};

}  // namespace quire::testing

#endif  // QUIRE_TESTS_TESTING_PAGED_KV_H_
