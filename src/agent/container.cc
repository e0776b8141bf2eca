#include "agent/container.h"

#include <algorithm>
#include <utility>

#include "base/diagnostic.h"
#include "base/source.h"
#include "fmt/format.h"
#include "format/tree.h"
#include "launch/escape.h"

namespace callgate::agent {
namespace {

using format::Tree;

constexpr std::string_view kListenerName = "seccompFd";

class StateReader {
 public:
  StateReader(const Tree& state, std::size_t descriptors)
      : state_(state), descriptors_(descriptors) {}

  base::Result<Container> Run() {
    if (auto reason = Read(); !reason.empty()) {
      return base::Fail({.operation = "serve",
                         .subject = Named(container_.id),
                         .errno_value = 0,
                         .reason = std::move(reason),
                         .advice = {}});
    }
    return std::move(container_);
  }

 private:
  // Each returns why it cannot be; empty: it is read.
  std::string Read() {
    if (state_.kind != Tree::Kind::kMap) return "the runtime's state is no JSON object";
    if (auto reason = ReadId(); !reason.empty()) return reason;
    if (auto reason = ReadMetadata(); !reason.empty()) return reason;
    return ReadDescriptors();
  }

  std::string ReadId() {
    const Tree* inner = state_.Find("state");
    const Tree* id = inner != nullptr ? inner->Find("id") : nullptr;
    if (id == nullptr || id->kind != Tree::Kind::kString || id->text.empty()) {
      return "the runtime's state has no \"state\" with an \"id\"";
    }
    if (id->text.size() > kMaxId) {
      return fmt::format("its id has {} bytes, which is more than {}", id->text.size(), kMaxId);
    }
    container_.id = id->text;
    return {};
  }

  std::string ReadMetadata() {
    const Tree* metadata = state_.Find("metadata");
    if (metadata == nullptr) return {};
    if (metadata->kind != Tree::Kind::kString) return "\"metadata\" is no string";
    container_.metadata = metadata->text;
    return {};
  }

  // The names and the descriptors are in the same order.
  std::string ReadDescriptors() {
    const Tree* names = state_.Find("fds");
    if (names == nullptr || names->kind != Tree::Kind::kList) {
      return "the runtime's state has no list \"fds\"";
    }
    const auto& items = names->items;
    if (std::ranges::any_of(items,
                            [](const Tree& name) { return name.kind != Tree::Kind::kString; })) {
      return "a name in \"fds\" is no string";
    }
    if (descriptors_ == 0) return "no descriptor came with the runtime's state";
    if (items.size() != descriptors_) {
      return fmt::format("\"fds\" has {} names, and {} descriptors came", items.size(),
                         descriptors_);
    }
    if (std::ranges::count(items, kListenerName, &Tree::text) != 1) {
      return fmt::format("\"fds\" must name \"{}\" once", kListenerName);
    }
    container_.listener = static_cast<std::size_t>(
        std::ranges::find(items, kListenerName, &Tree::text) - items.begin());
    return {};
  }

  const Tree& state_;
  const std::size_t descriptors_;
  Container container_;
};

}  // namespace

base::Result<Container> ReadContainer(std::string state, std::size_t descriptors) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  const std::size_t size = state.size();
  base::FileId file = sources.Add("state", std::move(state));
  auto tree = format::ReadJson(sources, file, diagnostics);
  if (tree) return StateReader(*tree, descriptors).Run();
  const base::Diagnostic& first = diagnostics.all().front();
  base::Position place = sources.PositionOf(file, first.span.begin);
  return base::Fail(
      {.operation = "serve",
       .subject = Named({}),
       .errno_value = 0,
       .reason = fmt::format("the runtime's state, {} bytes, is no JSON: {}:{}: {}", size,
                             place.line, place.column, launch::Escape(first.message)),
       .advice = {}});
}

std::optional<std::string> PolicyFile(std::string_view metadata) {
  if (metadata.empty()) return "default.cg";
  auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (metadata.size() > kMaxId || metadata.front() == '.' ||
      !std::ranges::all_of(metadata, is_plain)) {
    return std::nullopt;
  }
  return fmt::format("{}.cg", metadata);
}

std::string Named(std::string_view id) {
  return id.empty() ? "a container" : fmt::format("container \"{}\"", launch::Escape(id));
}

}  // namespace callgate::agent
