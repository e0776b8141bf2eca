#include "policy/deep.h"

#include <algorithm>

namespace callgate::policy {

IpAddress MappedIpv4(const std::array<std::uint8_t, 4>& address) {
  IpAddress mapped{};
  mapped[10] = mapped[11] = 0xff;
  std::ranges::copy(address, mapped.begin() + 12);
  return mapped;
}

bool IpNetwork::Contains(const IpAddress& other) const {
  std::size_t whole = prefix / 8;
  if (!std::equal(address.begin(), address.begin() + whole, other.begin())) return false;
  if (prefix % 8 == 0) return true;
  unsigned shift = 8U - prefix % 8;
  return address[whole] >> shift == other[whole] >> shift;
}

// reached[j]: the pattern read so far matches the first j bytes. One row a pattern element, so a
// hostile text costs its length times the pattern's and no more.
bool MatchesGlob(std::string_view pattern, std::string_view text) {
  std::vector<bool> reached(text.size() + 1, false);
  reached[0] = true;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    std::vector<bool> next(text.size() + 1, false);
    bool is_star = pattern[i] == '*';
    bool crosses = is_star && i + 1 < pattern.size() && pattern[i + 1] == '*';
    if (crosses) ++i;
    for (std::size_t j = 0; j <= text.size(); ++j) {
      if (is_star) {
        bool extends = j > 0 && next[j - 1] && (crosses || text[j - 1] != '/');
        next[j] = reached[j] || extends;
      } else if (j > 0 && reached[j - 1]) {
        char c = text[j - 1];
        next[j] = pattern[i] == '?' ? c != '/' : pattern[i] == c;
      }
    }
    reached = std::move(next);
  }
  return reached[text.size()];
}

bool IsUnder(std::string_view directory, std::string_view path) {
  if (!path.starts_with('/')) return false;  // "pipe:[4711]"
  if (directory == "/" || path == directory) return true;
  return path.starts_with(directory) && path[directory.size()] == '/';
}

bool Passes(const DeepTest& test, const DeepValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  const auto* ip = std::get_if<IpAddress>(&value);
  bool passes = false;
  switch (test.match) {
    case DeepTest::Match::kNumber:
      return false;
    case DeepTest::Match::kEqual:
      if (text == nullptr) return false;
      passes = std::ranges::find(test.texts, *text) != test.texts.end();
      break;
    case DeepTest::Match::kGlob:
      if (text == nullptr) return false;
      passes = std::ranges::any_of(
          test.texts, [&](const std::string& pattern) { return MatchesGlob(pattern, *text); });
      break;
    case DeepTest::Match::kUnder:
      if (text == nullptr) return false;
      passes = std::ranges::any_of(
          test.texts, [&](const std::string& directory) { return IsUnder(directory, *text); });
      break;
    case DeepTest::Match::kNetwork:
      if (ip == nullptr) return false;
      passes = std::ranges::any_of(test.networks,
                                   [&](const IpNetwork& network) { return network.Contains(*ip); });
      break;
  }
  return passes != test.negated;
}

}  // namespace callgate::policy
