// YAML by yaml-cpp, brought into the form of JSON. yaml-cpp loads aliases as references, so a file
// of ten lines can stand for 10^9 values: values are counted while they are copied, not while they
// are loaded. Its own limit of depth (500) protects its recursion. Where a document begins with
// what can begin none (",") version 0.7 finds an empty document there again and again, until memory
// is full: so the documents are first walked through one by one, and each must begin behind the
// last.

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <set>
#include <sstream>

#include "fmt/format.h"
#include "format/tree.h"

namespace callgate::format {
namespace {

// Sees where a document begins, and nothing else.
class Beginning final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  const YAML::Mark& mark() const { return mark_; }

 private:
  YAML::Mark mark_;
};

void CheckDocuments(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  Beginning beginning;
  int last = -1;
  while (parser.HandleNextDocument(beginning)) {
    if (beginning.mark().pos <= last) {
      throw YAML::ParserException(beginning.mark(), "no value begins like this");
    }
    last = beginning.mark().pos;
  }
}

class YamlReader {
 public:
  YamlReader(const base::SourceMap& sources, base::FileId file, base::Diagnostics& diagnostics)
      : size_(sources.text(file).size()), file_(file), diagnostics_(diagnostics) {}

  base::Span SpanOf(const YAML::Mark& mark) const {
    if (mark.pos < 0) return {file_, 0, 0};
    auto begin = static_cast<std::uint32_t>(std::min(static_cast<std::size_t>(mark.pos), size_));
    return {file_, begin, begin + (begin < size_ ? 1 : 0)};
  }

  bool Fail(base::Span span, std::string message) {
    diagnostics_.Error(span, std::move(message));
    return false;
  }

  bool Copy(const YAML::Node& node, Tree& tree, int depth) {
    tree.span = SpanOf(node.Mark());
    if (depth > kMaxTreeDepth) {
      return Fail(tree.span, fmt::format("values are nested more than {} deep", kMaxTreeDepth));
    }
    if (++nodes_ > kMaxTreeNodes) {
      return Fail(tree.span, fmt::format("the file holds more than {} values, aliases counted",
                                         kMaxTreeNodes));
    }
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return true;
      case YAML::NodeType::Scalar:
        return CopyScalar(node, tree);
      case YAML::NodeType::Sequence:
        tree.kind = Tree::Kind::kList;
        for (const YAML::Node& item : node) {
          if (!Copy(item, tree.items.emplace_back(), depth + 1)) return false;
        }
        return true;
      case YAML::NodeType::Map:
        return CopyMap(node, tree, depth);
    }
    return true;
  }

 private:
  bool CopyScalar(const YAML::Node& node, Tree& tree) {
    tree.text = node.Scalar();
    tree.span.end = static_cast<std::uint32_t>(std::min<std::size_t>(
        std::size_t{tree.span.begin} + std::max<std::size_t>(tree.text.size(), 1), size_));
    tree.kind = Tree::Kind::kString;
    if (node.Tag() != "?") return true;  // quoted, or typed by hand
    std::string_view digits = tree.text;
    if (digits.starts_with('-')) digits.remove_prefix(1);
    bool is_number = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
    if (is_number) tree.kind = Tree::Kind::kNumber;
    if (tree.text == "true" || tree.text == "false") tree.kind = Tree::Kind::kBool;
    return true;
  }

  bool CopyMap(const YAML::Node& node, Tree& tree, int depth) {
    tree.kind = Tree::Kind::kMap;
    std::set<std::string> keys;
    for (const auto& pair : node) {
      const YAML::Node& key = pair.first;
      Tree::Entry entry;
      entry.key_span = SpanOf(key.Mark());
      if (!key.IsScalar()) return Fail(entry.key_span, "this key is no word");
      entry.key = key.Scalar();
      if (!keys.insert(entry.key).second) {
        return Fail(entry.key_span,
                    fmt::format("the key \"{}\" is there twice", entry.key.substr(0, 60)));
      }
      if (!Copy(pair.second, entry.value, depth + 1)) return false;
      tree.entries.push_back(std::move(entry));
    }
    return true;
  }

  std::size_t size_;
  base::FileId file_;
  base::Diagnostics& diagnostics_;
  std::size_t nodes_ = 0;
};

}  // namespace

std::optional<std::vector<Tree>> ReadYaml(const base::SourceMap& sources, base::FileId file,
                                          base::Diagnostics& diagnostics) {
  YamlReader reader(sources, file, diagnostics);
  std::vector<Tree> documents;
  // The library throws; nothing of it leaves this function.
  try {
    const std::string text(sources.text(file));
    CheckDocuments(text);
    for (const YAML::Node& node : YAML::LoadAll(text)) {
      Tree tree;
      if (!reader.Copy(node, tree, 0)) return std::nullopt;
      if (tree.kind != Tree::Kind::kNull) documents.push_back(std::move(tree));
    }
  } catch (const YAML::Exception& error) {
    reader.Fail(reader.SpanOf(error.mark), error.msg);
    return std::nullopt;
  }
  return documents;
}

}  // namespace callgate::format
