#include "kernels/generated/generated_rows.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <tuple>
#include <utility>

#include "base/partition.h"
#include "kernels/generated/assembler.h"

namespace nfcompile {
namespace {

constexpr int kFirstX = kGeneratedRows;  // registers that hold x in turns
constexpr int kXRegisters = 4;
// Displacements of one byte reach this far, in units of the operand.
constexpr int32_t kReach = 127;

// A pointer that follows what is read through it, so that displacements stay short.
class Cursor {
 public:
  // `distance`: bytes from one element to the next. `operand`: bytes that are read at once.
  Cursor(Assembler& assembler, Base base, int32_t distance, int32_t operand)
      : assembler_(&assembler), base_(base), distance_(distance), operand_(operand) {}

  // The displacement of element `index`; indices never fall.
  int32_t To(int64_t index) {
    const auto offset = static_cast<int32_t>(index * distance_);
    if (offset - at_ > kReach * operand_) {
      const int32_t step = offset - at_ + (kReach + 1) * operand_;
      assembler_->Advance(base_, step);
      at_ += step;
    }
    return offset - at_;
  }

 private:
  Assembler* assembler_;
  Base base_;
  int32_t distance_;
  int32_t operand_;
  int32_t at_ = 0;
};

constexpr int kZero = kFirstX;  // for tails, which need no x
constexpr int kAny = kFirstX + 1;

void EmitHead(Head head, int rows, Assembler& assembler) {
  if (head == Head::kRowAndSums) assembler.LoadEighth();
  for (int r = 0; r < rows; ++r) {
    if (head == Head::kSums) {
      assembler.Load(r, Base::kFourth, r * kVectorBytes);
    } else {
      assembler.Broadcast(r, Base::kFourth, r * static_cast<int>(sizeof(float)));
    }
    if (head == Head::kRowAndSums) assembler.Add(r, r, Base::kEighth, r * kVectorBytes);
  }
  assembler.JumpToSecond();
  assembler.Align();
}

void EmitTail(Tail tail, int rows, Assembler& assembler) {
  if (tail == Tail::kSums) {
    for (int r = 0; r < rows; ++r) assembler.Store(r, Base::kThird, r * kVectorBytes);
    assembler.Return();
    assembler.Align();
    return;
  }
  assembler.Clear(kZero);
  assembler.Clear(kAny);
  for (int r = 0; r < rows; ++r) {
    if (r > 0) assembler.AdvanceByFifth(Base::kThird);
    if (tail == Tail::kRelu) assembler.Maximum(r, kZero, r);
    assembler.Or(kAny, kAny, r);
    assembler.Store(r, Base::kThird, 0);
  }
  assembler.ReturnNonZero(kAny);
  assembler.Align();
}

// An entry and the panel that it belongs to.
struct Placed : Entry {
  int32_t panel = 0;
};

// The code for entries in ascending order of taps, then columns. Columns and rows count from
// `first_*`.
void EmitPiece(const Placed* begin, const Placed* end, const float* stored, int64_t first_row,
               int64_t first_column, const Columns& columns, Assembler& assembler) {
  const auto distance = static_cast<int32_t>(columns.distance * sizeof(float));
  assembler.Set(Base::kSecond, stored);
  if (columns.taps > 0) assembler.KeepFirst();
  Cursor x(assembler, Base::kFirst, distance, kVectorBytes);
  Cursor values(assembler, Base::kSecond, sizeof(float), sizeof(float));
  int number = kXRegisters - 1;
  for (const Placed* entry = begin; entry != end; ++entry) {
    const bool starts = entry == begin || entry->tap != entry[-1].tap;
    if (starts && columns.taps > 0) {
      assembler.StartTap(entry->tap);
      x = Cursor(assembler, Base::kFirst, distance, kVectorBytes);
    }
    if (starts || entry->column != entry[-1].column) {
      number = (number + 1) % kXRegisters;
      const int32_t offset = x.To(entry->column - first_column);
      assembler.Load(kFirstX + number, Base::kFirst, offset);
    }
    const int32_t offset = values.To(entry - begin);
    assembler.MultiplyAdd(static_cast<int>(entry->row - first_row), kFirstX + number,
                          Base::kSecond, offset);
  }
  assembler.JumpToSixth();
  assembler.Align();
}

}  // namespace

bool MayGenerate() {
  const char* set = std::getenv("NFCOMPILE_GENERATE");
  return set == nullptr || std::strcmp(set, "0") != 0;
}

std::vector<uint8_t> GeneratedRows::Emit(const std::vector<Entry>& entries,
                                         int64_t out_features, const Columns& columns) {
  blocks_ = CeilDiv(out_features, kGeneratedRows);
  block_rows_ = BlockRows(out_features);
  panels_ = std::max<int64_t>(CeilDiv(columns.count, columns.panel), 1);
  const int64_t panel_columns = std::max<int64_t>(CeilDiv(columns.count, panels_), 1);
  panel_floats_ = panel_columns * columns.distance;
  values_ = AlignedArray<float>(entries.size());
  Assembler assembler;
  const auto position = [&] { return static_cast<int64_t>(assembler.code().size()); };
  const int64_t whole = std::max<int64_t>(blocks_ - 1, 0);
  for (Shared& shared : shared_) {
    const bool last = &shared != shared_;
    const auto rows = static_cast<int>(last ? out_features - whole * block_rows_ : block_rows_);
    for (size_t i = 0; i < std::size(shared.head); ++i) {
      shared.head[i] = position();
      EmitHead(static_cast<Head>(i), rows, assembler);
    }
    for (size_t i = 0; i < std::size(shared.tail); ++i) {
      shared.tail[i] = position();
      EmitTail(static_cast<Tail>(i), rows, assembler);
    }
  }
  std::vector<Placed> block;
  size_t next = 0;
  for (int64_t b = 0; b < blocks_; ++b) {
    const int64_t first_row = b * block_rows_;
    const int64_t rows = std::min(block_rows_, out_features - first_row);
    const size_t start = next;
    while (next < entries.size() && entries[next].row < first_row + rows) ++next;
    block.clear();
    for (size_t i = start; i < next; ++i) block.push_back({entries[i]});
    for (Placed& entry : block)
      entry.panel = entry.column / static_cast<int32_t>(panel_columns);
    std::sort(block.begin(), block.end(), [](const Placed& a, const Placed& b) {
      return std::tie(a.panel, a.tap, a.column, a.row) <
             std::tie(b.panel, b.tap, b.column, b.row);
    });
    for (size_t i = 0; i < block.size(); ++i) values_[start + i] = block[i].value;
    const Placed* at = block.data();
    const Placed* const end = at + block.size();
    for (int64_t p = 0; p < panels_; ++p) {
      const Placed* const begin = at;
      while (at != end && at->panel == p) ++at;
      const int64_t first = static_cast<int64_t>(start) + (begin - block.data());
      pieces_.push_back({position(), first});
      EmitPiece(begin, at, values_.data() + first, first_row, p * panel_columns, columns,
                assembler);
    }
  }
  pieces_.push_back({position(), static_cast<int64_t>(entries.size())});
  return std::move(assembler.code());
}

std::vector<uint8_t> GeneratedRows::Code(const std::vector<Entry>& entries,
                                         int64_t out_features, const Columns& columns) {
  return GeneratedRows().Emit(entries, out_features, columns);
}

std::shared_ptr<const GeneratedRows> GeneratedRows::Make(const std::vector<Entry>& entries,
                                                         int64_t out_features,
                                                         const Columns& columns) {
  auto made = std::make_shared<GeneratedRows>();
  made->code_ = Executable::Make(made->Emit(entries, out_features, columns));
  return made->code_ == nullptr ? nullptr : made;
}

int64_t GeneratedRows::BlockRows(int64_t out_features) {
  return CeilDiv(out_features, std::max<int64_t>(CeilDiv(out_features, kGeneratedRows), 1));
}

int64_t GeneratedRows::entries(int64_t block) const {
  return pieces_[(block + 1) * panels_].value - pieces_[block * panels_].value;
}

}  // namespace nfcompile
