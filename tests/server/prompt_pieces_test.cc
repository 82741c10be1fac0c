#include "server/prompt_pieces.h"

#include "gtest/gtest.h"
#include "server/limits.h"

namespace quire {
namespace {

TEST(PromptPieces, NothingGivesNothing) { EXPECT_FALSE(PromptPieces().Next()); }

TEST(PromptPieces, PiecesAreSmallWholeAndInOrder) {
  PromptPieces pieces;
  std::string text;
  while (text.size() < 3 * kPromptPieceBytes) text += "a\xe2\x82\xac";
  pieces.SetText(text);
  const std::vector<TokenId> ids(200'000, 70'000);
  pieces.SetTokenIds(ids);
  std::vector<TokenLogprobs> logprobs(4'000);
  for (TokenLogprobs& one : logprobs) one.top.resize(20, {.token = 70'000, .logprob = -1.5F});
  pieces.SetLogprobs(logprobs);

  v1::Prompt joined;
  int kind = 0;
  int count = 0;
  while (const auto event = pieces.Next()) {
    const v1::Prompt& piece = event->prompt();
    EXPECT_LE(piece.ByteSizeLong(), kPromptPieceBytes + 64);
    const int this_kind = !piece.text().empty() ? 0 : piece.token_ids_size() > 0 ? 1 : 2;
    EXPECT_GE(this_kind, kind);
    kind = this_kind;
    EXPECT_NE(static_cast<unsigned char>(piece.text()[0]) & 0xc0U, 0x80U) << "a split character";
    const std::string so_far = joined.text();
    joined.MergeFrom(piece);
    joined.set_text(so_far + piece.text());
    ++count;
  }
  EXPECT_EQ(joined.text(), text);
  EXPECT_EQ(joined.token_ids_size(), 200'000);
  EXPECT_EQ(joined.logprobs_size(), 4'000);
  EXPECT_GT(count, 8);
}

}  // namespace
}  // namespace quire
