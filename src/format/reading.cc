#include "format/reading.h"

#include <algorithm>
#include <charconv>

#include "base/nearest.h"
#include "fmt/format.h"

namespace callgate::format {

void Reading::Note(std::string note) {
  // Words of the foreign file may hold what moves a terminal's cursor.
  for (char& c : note) {
    if (c < 0x20 || c > 0x7E) c = '?';
  }
  if (std::ranges::find(notes, note) != notes.end()) return;
  if (notes.size() == kMaxNotes) {
    ++more_notes;
  } else {
    notes.push_back(std::move(note));
  }
}

std::nullopt_t Reading::Fail(base::Span span, std::string message, std::string hint) {
  base::Diagnostic& error = diagnostics.Error(span, std::move(message));
  if (!hint.empty()) error.notes.push_back({std::move(hint), {}});
  return std::nullopt;
}

const Tree* Field::Get(std::string_view key, Tree::Kind kind) {
  const Tree* value = map.Find(key);
  if (value == nullptr || value->kind == Tree::Kind::kNull) return nullptr;
  if (value->kind == kind) return value;
  static constexpr std::string_view kKinds[] = {"null",     "true or false", "a number",
                                                "a string", "a list",        "an object"};
  reading.Fail(value->span, fmt::format("'{}' must be {}", key, kKinds[static_cast<int>(kind)]));
  ok = false;
  return nullptr;
}

std::string Field::Text(std::string_view key) {
  const Tree* value = Get(key, Tree::Kind::kString);
  return value == nullptr ? "" : value->text;
}

std::vector<std::pair<std::string, base::Span>> Field::Texts(std::string_view key) {
  std::vector<std::pair<std::string, base::Span>> texts;
  const Tree* list = Get(key, Tree::Kind::kList);
  if (list == nullptr) return texts;
  for (const Tree& item : list->items) {
    if (item.kind != Tree::Kind::kString) {
      reading.Fail(item.span, fmt::format("'{}' must be a list of strings", key));
      ok = false;
      return {};
    }
    texts.emplace_back(item.text, item.span);
  }
  return texts;
}

std::optional<std::uint64_t> TreeNumber(Reading& reading, const Tree& tree) {
  std::uint64_t value = 0;
  const char* end = tree.text.data() + tree.text.size();
  auto [stop, error] = std::from_chars(tree.text.data(), end, value);
  if (tree.kind == Tree::Kind::kNumber && error == std::errc() && stop == end) return value;
  return reading.Fail(tree.span, fmt::format("'{}' is no whole number from 0 to {}",
                                             tree.text.substr(0, 40), UINT64_MAX));
}

std::optional<std::uint64_t> Field::Number(std::string_view key) {
  const Tree* value = Get(key, Tree::Kind::kNumber);
  if (value == nullptr) return std::nullopt;
  auto number = TreeNumber(reading, *value);
  if (!number) ok = false;
  return number;
}

std::optional<base::FileId> ReadIncluded(Reading& reading, base::FileId including, std::string path,
                                         base::Span span) {
  if (!reading.options.include_directory.empty()) {
    path = reading.options.include_directory + "/" + path.substr(path.rfind('/') + 1);
  } else if (!path.starts_with('/')) {
    std::string_view name = reading.sources.name(including);
    std::size_t slash = name.rfind('/');
    if (slash != name.npos) path = std::string(name.substr(0, slash + 1)) + path;
  }
  auto text = reading.reader.Read(path);
  if (text) return reading.sources.Add(path, *std::move(text));
  return reading.Fail(span, text.error().ToString(),
                      "--include names the folder where included files lie");
}

std::string NearestCall(std::string_view name) {
  base::NearestName nearest(name);
  for (std::string_view known : abi::AllSyscallNames()) nearest.Offer(known);
  auto best = nearest.Best();
  return best ? fmt::format("did you mean '{}'?", *best) : "";
}

}  // namespace callgate::format
