#include "supervise/image.h"

#include <elf.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/unique_fd.h"
#include "fmt/format.h"
#include "supervise/identity.h"
#include "supervise/inputs.h"

namespace callgate::supervise {
namespace {

constexpr std::string_view kBlanks = " \t";

kernel::SysResult<std::string> ReadFile(pid_t pid, std::string_view name) {
  base::UniqueFd fd(open(fmt::format("/proc/{}/{}", pid, name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::unexpected(ESRCH);
  std::string text;
  while (true) {
    std::size_t have = text.size();
    text.resize(have + 16384);
    ssize_t size = read(fd.get(), text.data() + have, text.size() - have);
    if (size < 0) return std::unexpected(ESRCH);
    text.resize(have + static_cast<std::size_t>(size));
    if (size == 0) return text;
  }
}

std::vector<std::string> SplitAtNul(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    std::size_t end = text.find('\0');
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return parts;
}

std::uint64_t FindAuxiliary(std::string_view vector, std::uint64_t wanted) {
  std::array<std::uint64_t, 2> entry{};
  for (; vector.size() >= sizeof entry; vector.remove_prefix(sizeof entry)) {
    std::memcpy(entry.data(), vector.data(), sizeof entry);
    if (entry[0] == wanted) return entry[1];
  }
  return 0;
}

}  // namespace

// fs/binfmt_script.c: a name that may have been cut off at the end of the head is not taken, an
// argument is.
std::optional<Interpreter> ParseInterpreter(std::string_view head) {
  if (!head.starts_with("#!")) return std::nullopt;
  std::string_view line = head.substr(2);
  std::size_t newline = line.find('\n');
  bool cut = newline == std::string_view::npos && head.size() >= kScriptHead;
  line = line.substr(0, newline);
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  std::size_t end = line.find_first_of(std::string_view(" \t\0", 3));
  if (end == std::string_view::npos && cut) return std::nullopt;
  Interpreter interpreter{.path = std::string(line.substr(0, end)), .argument = {}};
  if (interpreter.path.empty()) return std::nullopt;
  if (end == std::string_view::npos || line[end] == '\0') return interpreter;
  line.remove_prefix(end);
  line = line.substr(0, line.find('\0'));
  std::size_t begin = line.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return interpreter;
  line = line.substr(begin, line.find_last_not_of(kBlanks) + 1 - begin);
  interpreter.argument = std::string(line);
  return interpreter;
}

kernel::SysResult<Image> Image::Of(pid_t pid, bool must_have_our_root) {
  Image image;
  auto identity = ReadIdentity(pid);
  base::UniqueFd file(open(fmt::format("/proc/{}/exe", pid).c_str(), O_PATH | O_CLOEXEC));
  if (!identity || !file.valid()) return std::unexpected(ESRCH);
  identity->must_have_our_root = must_have_our_root;
  auto places = PlacesOf(pid, *identity, true, "/", AT_FDCWD);
  if (!places) return std::unexpected(places.error());
  auto pinned = ResolveDescriptor(*places, std::move(file));
  if (!pinned) return std::unexpected(pinned.error());
  image.path_ = std::move(pinned->path);
  auto argv = ReadFile(pid, "cmdline");
  auto envp = ReadFile(pid, "environ");
  auto auxiliary = ReadFile(pid, "auxv");
  if (!argv || !envp) return std::unexpected(ESRCH);
  image.argv_ = SplitAtNul(*argv);
  image.envp_ = SplitAtNul(*envp);
  if (auxiliary) image.name_address_ = FindAuxiliary(*auxiliary, AT_EXECFN);
  return image;
}

kernel::SysResult<policy::DeepValue> Image::Look(const policy::DeepSubject& subject,
                                                 std::size_t argv_slot) const {
  using Kind = policy::DeepSubject::Kind;
  switch (subject.kind) {
    case Kind::kPath:
      return path_;
    case Kind::kElement:
    case Kind::kCount:
    case Kind::kVariable:
      return LookAtStrings(subject, subject.slot == argv_slot ? argv_ : envp_);
    case Kind::kString:
    case Kind::kField:
    case Kind::kFamily:
    case Kind::kPort:
    case Kind::kIp:
    case Kind::kUnixPath:
    case Kind::kAbstract:
    case Kind::kDescriptor:
    case Kind::kFileType:
      break;
  }
  return std::unexpected(ESRCH);
}

}  // namespace callgate::supervise
