// The system-call filter of a systemd unit or drop-in.
//
// Read in systemd's config_parse_syscall_filter and seccomp-util.c:
//
// - The first SystemCallFilter= decides: with `~` it is a list of what is denied, without, of what
//   is allowed, and then @default is on it. Later lines add to the list, or, if their `~` differs,
//   take away from it. An empty one starts anew.
// - What is not on a list of allowed calls gets SystemCallErrorNumber= (not set: the process is
//   killed), but ENOSYS if systemd does not know the call either.
// - `name:ERRNO` and `name:kill` give a denied call its own answer.
// - The filter is for every ABI of the machine; calls of all others pass. SystemCallArchitectures=
//   is a filter of its own that kills the threads that use other ABIs.
// - Unknown names and groups are skipped with a line in the journal.

#include <algorithm>
#include <map>
#include <set>

#include "abi/constants.h"
#include "abi/groups.h"
#include "fmt/format.h"
#include "format/multiplexed.h"
#include "format/reading.h"

namespace callgate::format {
namespace {

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
    text.remove_suffix(1);
  }
  return text;
}

// A group is 600 names; nobody lists 16,384 of them.
constexpr std::size_t kMaxWords = 16384;

// Settings of [Service] that are seccomp filters too.
constexpr std::string_view kOtherFilters[] = {
    "LockPersonality",      "MemoryDenyWriteExecute", "PrivateDevices",
    "ProtectClock",         "ProtectHostname",        "ProtectKernelLogs",
    "ProtectKernelModules", "ProtectKernelTunables",  "RestrictAddressFamilies",
    "RestrictNamespaces",   "RestrictRealtime",       "RestrictSUIDSGID",
    "SystemCallLog"};

class SystemdReader {
 public:
  explicit SystemdReader(Reading& reading) : reading_(reading), native_(reading.Native()) {}

  std::optional<Foreign> Run() {
    if (!ReadLines()) return std::nullopt;
    if (!has_filter_) {
      return reading_.Fail({reading_.file, 0, 0}, "this unit has no SystemCallFilter=",
                           others_.empty() ? "systemd gives it no filter of system calls"
                                           : "its filters come from other settings");
    }
    if (!others_.empty()) {
      std::string list;
      for (const std::string& name : others_) list += (list.empty() ? "" : ", ") + name;
      reading_.Note(fmt::format("filters of their own, not imported: {}", list));
    }
    return Execute();
  }

 private:
  bool ReadLines() {
    std::string_view text = reading_.sources.text(reading_.file);
    std::string section;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t begin = at;
      std::string line = LogicalLine(text, at);
      std::string_view content = Trim(line);
      if (content.empty() || content.front() == '#' || content.front() == ';') continue;
      base::Span span{reading_.file, static_cast<std::uint32_t>(begin),
                      static_cast<std::uint32_t>(std::min(at, text.size()))};
      while (span.end > span.begin && text[span.end - 1] == '\n') --span.end;
      if (content.front() == '[') {
        section = content;
        continue;
      }
      std::size_t equal = content.find('=');
      if (equal == content.npos) {
        reading_.Fail(span, "this line is neither a section nor a setting");
        return false;
      }
      std::string_view key = Trim(content.substr(0, equal));
      std::string_view value = Trim(content.substr(equal + 1));
      // Drop-ins that people publish often leave the section out.
      static const std::set<std::string, std::less<>> kSections{"", "[Service]", "[Socket]",
                                                                "[Mount]", "[Swap]"};
      if (kSections.contains(section) && !Setting(key, value, span)) return false;
    }
    return true;
  }

  // A backslash joins lines; comment lines between them do not count.
  static std::string LogicalLine(std::string_view text, std::size_t& at) {
    std::string line;
    bool more = true;
    while (more && at < text.size()) {
      std::size_t end = std::min(text.find('\n', at), text.size());
      std::string_view part = text.substr(at, end - at);
      at = end + 1;
      if (!line.empty() && (Trim(part).starts_with('#') || Trim(part).starts_with(';'))) continue;
      while (part.ends_with('\r')) part.remove_suffix(1);
      bool comment = Trim(part).starts_with('#') || Trim(part).starts_with(';');
      more = part.ends_with('\\') && !comment;
      if (more) part.remove_suffix(1);
      line += part;
      if (more) line += ' ';
    }
    return line;
  }

  bool Setting(std::string_view key, std::string_view value, base::Span span) {
    if (key == "SystemCallFilter") return Filter(value, span);
    if (key == "SystemCallErrorNumber") return ErrorNumber(value, span);
    if (key == "SystemCallArchitectures") return Architectures(value, span);
    bool is_other = std::ranges::find(kOtherFilters, key) != std::end(kOtherFilters);
    bool is_off = value == "no" || value == "false" || value == "0" || value == "off";
    if (is_other && is_off) others_.erase(std::string(key));
    if (is_other && !is_off && !value.empty()) others_.insert(std::string(key));
    return true;
  }

  static std::vector<std::string> Words(std::string_view value) {
    std::vector<std::string> words;
    std::string word;
    for (char c : std::string(value) + " ") {
      if (c != ' ' && c != '\t') {
        word += c;
      } else if (!word.empty()) {
        words.push_back(std::exchange(word, {}));
      }
    }
    return words;
  }

  bool ErrorNumber(std::string_view value, base::Span span) {
    if (value.empty() || value == "kill") {
      denied_ = "kill";
      return true;
    }
    auto action = ErrnoOf(value);
    if (!action) {
      reading_.Fail(span, fmt::format("'{}' is not an error name", value.substr(0, 40)));
      return false;
    }
    denied_ = *action;
    return true;
  }

  std::optional<std::string> ErrnoOf(std::string_view word) const {
    if (word == "kill") return "kill";
    if (auto number = abi::ErrnoValue(native_, word)) return ErrnoAction(native_, *number);
    if (!word.empty() && word.size() <= 4 && word.find_first_not_of("0123456789") == word.npos) {
      auto number = static_cast<std::uint64_t>(std::stoi(std::string(word)));
      if (number <= 4095) return ErrnoAction(native_, number);
    }
    return std::nullopt;
  }

  bool Architectures(std::string_view value, base::Span span) {
    if (value.empty()) {
      only_.clear();
      return true;
    }
    for (const std::string& word : Words(value)) {
      std::string name = word == "x86-64" ? "x86_64" : word;
      auto arch = word == "native" ? std::optional(native_) : abi::FindArch(name);
      if (!arch) {
        reading_.Fail(span, fmt::format("unknown architecture '{}'", word.substr(0, 40)));
        return false;
      }
      only_.insert(*arch);
    }
    return true;
  }

  bool Filter(std::string_view value, base::Span span) {
    if (value.empty()) {
      has_filter_ = false;
      calls_.clear();
      return true;
    }
    bool invert = value.starts_with('~');
    if (invert) value.remove_prefix(1);
    if (!has_filter_) {
      has_filter_ = true;
      allows_listed_ = !invert;
      if (allows_listed_) Add("@default", "", false);
    }
    std::vector<std::string> words = Words(value);
    words_ += words.size();
    if (words_ > kMaxWords) {
      reading_.Fail(span, fmt::format("the unit lists more than {} calls and groups", kMaxWords));
      return false;
    }
    for (const std::string& word : words) {
      std::size_t colon = word.find(':');
      std::string action;
      if (colon != word.npos) {
        auto own = ErrnoOf(std::string_view(word).substr(colon + 1));
        if (!own) {
          reading_.Note(fmt::format("'{}' is skipped: its error number is unknown", word));
          continue;
        }
        if (!invert) {
          reading_.Note(fmt::format("'{}' is skipped: allowed calls take no error number", word));
          continue;
        }
        action = *own;
      }
      Add(word.substr(0, colon), action, invert);
    }
    return true;
  }

  void Add(const std::string& name, const std::string& action, bool invert) {
    if (name.starts_with('@')) {
      const abi::Group* group = abi::FindGroup(name);
      if (group == nullptr) {
        reading_.Note(fmt::format("there is no group '{}'; systemd skips it", name));
        return;
      }
      for (std::string_view member : group->members) Put(member, action, invert);
      reading_.Note(
          "groups are those of this version of callgate; other versions of systemd have "
          "slightly other ones");
    } else if (!abi::IsKnownSyscallName(name)) {
      reading_.Note(fmt::format("no kernel has a call '{}'; systemd skips it", name));
    } else {
      Put(name, action, invert);
    }
  }

  void Put(std::string_view name, const std::string& action, bool invert) {
    if (invert != allows_listed_) {
      calls_.insert_or_assign(std::string(name), action);
    } else {
      calls_.erase(std::string(name));
    }
  }

  Foreign Execute() {
    Foreign foreign;
    foreign.default_action = allows_listed_ ? denied_ : "allow";
    if (allows_listed_) foreign.unknown_action = "errno(ENOSYS)";
    foreign.bad_arch_action = only_.empty() ? "allow" : "kill_thread";
    std::vector<abi::ArchId> arches{native_};
    for (abi::ArchId beside : abi::CompatArches(native_)) arches.push_back(beside);
    for (abi::ArchId arch : arches) {
      if (!only_.empty() && !only_.contains(arch)) continue;
      ForeignArch result{arch, {}};
      for (const auto& [name, action] : calls_) AddCall(abi::ArchOf(arch), name, action, result);
      foreign.arches.push_back(std::move(result));
    }
    if (foreign.arches.empty()) {
      // SystemCallArchitectures= names none of this machine: everything is killed.
      foreign.arches.push_back({native_, {}});
      foreign.default_action = foreign.unknown_action = "kill_thread";
    }
    return foreign;
  }

  void AddCall(const abi::Arch& arch, const std::string& name, const std::string& action,
               ForeignArch& result) {
    std::string text = allows_listed_ ? "allow" : action.empty() ? denied_ : action;
    if (const abi::Syscall* call = abi::FindSyscall(arch.id, name)) {
      result.bodies[call->nr] = {};
      result.bodies[call->nr].Add(Predicate::True(), text);
    }
    // Of a list of allowed calls, the multiplexers are on it themselves or denied by name.
    if (!allows_listed_) AddMultiplexed(arch, name, text, result);
  }

  // libseccomp's companions: socketcall(SYS_SOCKET) for socket.
  void AddMultiplexed(const abi::Arch& arch, const std::string& name, const std::string& action,
                      ForeignArch& result) {
    Multiplexed through = MultiplexerOf(arch, name);
    if (through.call == nullptr || calls_.contains(std::string(through.call->name))) return;
    Body& body = result.bodies[through.call->nr];
    body.Add(Compare(arch.id, through.call->nr, {.index = 0, .bits = 32, .value = through.number}),
             action);
  }

  Reading& reading_;
  abi::ArchId native_;
  std::size_t words_ = 0;
  bool has_filter_ = false;
  bool allows_listed_ = false;
  std::map<std::string, std::string> calls_;  // the list; name → own action, mostly empty
  std::string denied_ = "kill";
  std::set<abi::ArchId> only_;
  std::set<std::string> others_;
};

}  // namespace

std::optional<Foreign> ReadSystemd(Reading& reading) { return SystemdReader(reading).Run(); }

}  // namespace callgate::format
