// Where a chain's images lie: which of them items use in place.
#include "kernels/chain/chain_items.h"

namespace nfcompile {

bool ChainItems::InOneImage(int64_t tile) const {
  const Range rows = plan_.Rows(tile);
  const int64_t places = operands_.images->places();
  return rows.size() == RowElements(tile) && rows.begin / places == (rows.end - 1) / places;
}

bool ChainItems::Tiled(int slot) const {
  if (chain_.OutputOf(slot) >= 0) return operands_.tiled_y;
  return slot == 0 ? operands_.images->tiled
                   : slot < chain_.inputs() && operands_.tiled_residual;
}

std::optional<TileShape> ChainItems::InPlace(int slot, int64_t tile) const {
  if (operands_.images == nullptr || plan_.planes) return std::nullopt;
  const bool is_y = chain_.OutputOf(slot) >= 0;
  if (Tiled(slot)) {
    if (slot == 0 && !operands_.images->pointwise()) return std::nullopt;
    return plan_.kernel->VectorByVector(plan_.Vectors(tile), chain_.features(slot));
  }
  if ((!is_y && !chain_.only_residual(slot)) || !InOneImage(tile)) return std::nullopt;
  return TileShape{plan_.Vectors(tile), operands_.images->places(), plan_.kernel->width};
}

int64_t ChainItems::PlaceOffset(int slot, int64_t tile) const {
  const int64_t begin = plan_.Rows(tile).begin;
  const int64_t places = operands_.images->places();
  Images images = PointImages(chain_.features(slot), places);
  images.tiled = Tiled(slot);
  return images.Offset(begin / places, begin % places, plan_.kernel->width);
}

Images ChainItems::Places(int slot) const {
  Images places =
      plan_.planes ? plan_.planes->places : PointImages(0, operands_.images->places());
  places.channels = chain_.features(slot);
  places.tiled = Tiled(slot);
  return places;
}

}  // namespace nfcompile
