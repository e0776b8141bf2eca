#include "base/nearest.h"

#include <algorithm>
#include <vector>

namespace callgate::base {

std::size_t EditDistance(std::string_view a, std::string_view b) {
  // Three rows of the optimal string alignment table.
  std::vector<std::size_t> two_back(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t replace = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({replace, previous[j] + 1, current[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], two_back[j - 2] + 1);
      }
    }
    std::swap(two_back, previous);
    std::swap(previous, current);
  }
  return previous[b.size()];
}

NearestName::NearestName(std::string_view misspelt)
    : misspelt_(misspelt), best_distance_(std::max<std::size_t>(1, misspelt.size() / 3) + 1) {}

void NearestName::Offer(std::string_view candidate) {
  std::size_t longer = std::max(candidate.size(), misspelt_.size());
  std::size_t shorter = std::min(candidate.size(), misspelt_.size());
  if (longer - shorter >= best_distance_) return;
  std::size_t distance = EditDistance(misspelt_, candidate);
  if (distance < best_distance_) {
    best_distance_ = distance;
    best_ = candidate;
  }
}

std::optional<std::string> NearestName::Best() const {
  if (best_.empty()) return std::nullopt;
  return best_;
}

}  // namespace callgate::base
