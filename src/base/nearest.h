#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace callgate::base {

// "Did you mean": keeps the candidate with the smallest edit distance (insert, delete, replace,
// swap of neighbours) to a misspelt name, if it is near enough to be a slip: at most a third of the
// name's length, and at least 1.
class NearestName {
 public:
  explicit NearestName(std::string_view misspelt);

  void Offer(std::string_view candidate);
  // Empty when nothing is near.
  std::optional<std::string> Best() const;

 private:
  std::string misspelt_;
  std::string best_;
  std::size_t best_distance_;
};

std::size_t EditDistance(std::string_view a, std::string_view b);

}  // namespace callgate::base
