// A change is made in memory first: the policy is loaded again from its files' texts with the
// clause in place, and judges the call again. Only a policy that now says "allow" is written, and
// only over the text that it was loaded from. So whatever is wrong with a clause (a group's rule
// whose other calls have no such argument, a text the lexer reads otherwise) is found before
// anything is done.

#include "api/always.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "abi/constants.h"
#include "abi/syscalls.h"
#include "base/unique_fd.h"
#include "fmt/format.h"
#include "launch/escape.h"
#include "policy/file_reader.h"
#include "policy/load.h"
#include "policy/performed.h"
#include "policy/typecheck.h"

namespace callgate {
namespace {

constexpr std::uint64_t kMakesFile = O_CREAT | (O_TMPFILE & ~O_DIRECTORY);

// A text that a person can read for what it is.
std::optional<std::string> Quoted(const std::string& text) {
  if (launch::Escape(text) != text) return std::nullopt;
  return '"' + text + '"';
}

std::optional<std::string> TestOf(const supervise::Fact& fact) {
  if (const auto* number = std::get_if<std::uint64_t>(&fact.value)) {
    return fmt::format("{} == {}", fact.name, *number);
  }
  const auto& text = std::get<std::string>(fact.value);
  bool is_word = fact.name.ends_with(".ip") || fact.name.ends_with(".type");
  std::optional<std::string> value = is_word ? text : Quoted(text);
  if (!value) return std::nullopt;
  return fmt::format("{} == {}", fact.name, *value);
}

// nullopt: the register says nothing that two calls of one meaning have in common.
std::optional<std::string> ValueOf(abi::ArchId arch, const abi::Argument& argument,
                                   std::uint64_t value, bool is_performed) {
  if (argument.bits < 64) value &= (std::uint64_t{1} << argument.bits) - 1;
  auto number = [&] {
    bool negative = argument.is_signed && argument.bits == 32;
    return negative ? fmt::format("{}", static_cast<std::int32_t>(value))
                    : fmt::format("{}", value);
  };
  switch (argument.kind) {
    case abi::ArgKind::kFlags:
      return value == 0 ? "0" : abi::FormatFlags(arch, argument.set, value);
    case abi::ArgKind::kEnum:
      return abi::FormatEnum(arch, argument.set, argument.flags_set, value);
    case abi::ArgKind::kMode:
      return fmt::format("0o{:o}", value);
    case abi::ArgKind::kDev:
    case abi::ArgKind::kSignal:
    case abi::ArgKind::kId:
      return number();
    case abi::ArgKind::kInteger:
      if (argument.bits == 64) return std::nullopt;  // sizes, offsets
      [[fallthrough]];
    case abi::ArgKind::kFd:
    case abi::ArgKind::kPid:
      if (is_performed) return std::nullopt;
      return number();
    case abi::ArgKind::kDirFd:
    case abi::ArgKind::kAddress:
    case abi::ArgKind::kPath:
    case abi::ArgKind::kString:
    case abi::ArgKind::kStringVector:
    case abi::ArgKind::kSockaddr:
    case abi::ArgKind::kStruct:
    case abi::ArgKind::kBuffer:
    case abi::ArgKind::kPointer:
    case abi::ArgKind::kVariant:
    case abi::ArgKind::kLowHalf:
    case abi::ArgKind::kHighHalf:
    case abi::ArgKind::kUnused:
      break;
  }
  return std::nullopt;
}

bool WriteFile(const std::string& path, std::string_view text) {
  struct stat status{};
  std::string beside = path + ".callgate-new";
  base::UniqueFd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return false;
  bool done = stat(path.c_str(), &status) == 0 && fchmod(fd.get(), status.st_mode & 07777) == 0;
  while (done && !text.empty()) {
    ssize_t written = write(fd.get(), text.data(), text.size());
    done = written > 0;
    if (done) text.remove_prefix(static_cast<std::size_t>(written));
  }
  done = done && fsync(fd.get()) == 0 && rename(beside.c_str(), path.c_str()) == 0;
  if (!done) (void)unlink(beside.c_str());
  return done;
}

// The call as a rule of its own; nullopt as for ClauseAbout.
std::optional<std::string> KeyOf(const supervise::Question& question) {
  auto clause = ClauseAbout(question.call, question.facts);
  auto arch = abi::ArchOfCall(question.call.arch, question.call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, question.call.nr) : nullptr;
  if (!clause || syscall == nullptr) return std::nullopt;
  std::string event(syscall->name);
  if (*arch != abi::NativeArch()) event = fmt::format("{}.{}", abi::ArchOf(*arch).name, event);
  return fmt::format("{}: {}", event, *clause);
}

std::string_view LineAround(std::string_view text, std::size_t at) {
  std::size_t begin = text.rfind('\n', at == 0 ? 0 : at - 1);
  begin = at == 0 || begin == std::string_view::npos ? 0 : begin + 1;
  return text.substr(begin, text.find('\n', at) - begin);
}

}  // namespace

std::optional<std::string> ClauseAbout(const abi::Call& call, const supervise::Facts& facts) {
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  auto signature = syscall != nullptr ? abi::SignatureOf(*arch, syscall->name) : std::nullopt;
  if (!signature) return std::nullopt;
  std::string clause;
  auto add = [&](const std::string& test) { clause += (clause.empty() ? "" : " && ") + test; };
  // A descriptor is described by what it is open on, which differs each time where that has no
  // path; where there is more to tell, that tells enough.
  auto is_about_fd = [](const supervise::Fact& fact) { return fact.name.starts_with("fd."); };
  bool only_fd = std::ranges::all_of(facts, is_about_fd);
  for (const supervise::Fact& fact : facts) {
    const auto* text = std::get_if<std::string>(&fact.value);
    bool has_path = text != nullptr && text->starts_with('/');
    if (is_about_fd(fact) && (!only_fd || (fact.name == "fd.path" && !has_path))) continue;
    auto test = TestOf(fact);
    if (!test) return std::nullopt;
    add(*test);
  }
  bool is_performed = policy::PerformanceOf(*arch, syscall->name) != policy::Performance::kNone;
  bool makes_file = true;  // else the mode of an open means nothing, and may be anything
  for (std::size_t i = 0; i < signature->size(); ++i) {
    const abi::Argument& argument = (*signature)[i];
    if (argument.set == "open_flags") makes_file = (call.args.at(i) & kMakesFile) != 0;
    if (argument.kind == abi::ArgKind::kMode && !makes_file) continue;
    auto value = ValueOf(*arch, argument, call.args.at(i), is_performed);
    if (value) add(fmt::format("{} == {}", argument.name, *value));
  }
  return clause.empty() ? "1" : clause;
}

// A policy as it reads with what was accepted so far.
struct Always::Edited {
  std::string main;                          // name of its own file
  std::map<std::string, std::string> files;  // text by name, as `use` finds it
  std::map<std::string, std::string> paths;  // absolute, by name
  base::SourceMap sources;
  policy::LoadedPolicy loaded;
  policy::TypedPolicy typed;

  // False: it has errors.
  bool Load() {
    base::Diagnostics diagnostics;
    loaded = policy::Load(main, policy::MemoryReader(files), sources, diagnostics);
    auto checked = policy::Typecheck(loaded, abi::NativeArch(), diagnostics);
    if (checked) typed = std::move(*checked);
    return checked.has_value();
  }
};

struct Always::Change {
  Proposal proposal;
  std::string key;                         // call and clause
  std::string file;                        // that is written
  std::unique_ptr<Edited> next = nullptr;  // nullptr: no file can have it
};

Always::Always(const std::vector<Policy>& layers) {
  for (const Policy& layer : layers) {
    const Policy::Impl& impl = layer.impl();
    auto edited = std::make_unique<Edited>();
    edited->main = impl.name;
    for (const std::string& name : impl.files) {
      for (base::FileId id = 0; id < impl.loaded.files.size(); ++id) {
        if (impl.sources.name(id) == name) edited->files[name] = impl.sources.text(id);
      }
      std::error_code error;
      edited->paths[name] = std::filesystem::canonical(name, error).string();
    }
    if (!edited->Load()) edited->files.clear();  // its text came from no file
    edited_.emplace(&impl, std::move(edited));
  }
}
Always::~Always() = default;

Always::Change Always::MakeChange(const Policy::Impl& layer,
                                  const supervise::Question& question) const {
  Change change;
  auto fail = [&](std::string why) {
    change.proposal.warning = std::move(why) + "; it holds until the program ends";
    return std::move(change);
  };
  auto clause = ClauseAbout(question.call, question.facts);
  auto key = KeyOf(question);
  if (!clause || !key) {
    change.proposal.warning = "the call cannot be told from others, so that only once is possible";
    return change;
  }
  change.key = *key;
  change.proposal.line = change.key;
  const Edited& now = Of(layer);
  if (now.files.empty()) return fail("the policy is in no file");
  policy::Verdict verdict = policy::Judge(now.typed, question.call, question.look);
  if (verdict.action.verb != policy::Verb::kAsk) return fail("the rule is not in this policy");
  std::size_t at = 0;
  std::string addition;
  switch (verdict.reason) {
    case policy::Reason::kClause:
      change.file = now.sources.name(verdict.clause->span.file);
      at = verdict.clause->span.begin;
      addition = *clause + "; ";
      break;
    case policy::Reason::kNoMatch:
      change.file = now.sources.name(verdict.span.file);
      at = verdict.span.end;
      addition = "; " + *clause;
      break;
    case policy::Reason::kNoRule: {
      change.file = now.main;
      const std::string& whole = now.files.at(now.main);
      at = whole.size();
      addition = (whole.ends_with('\n') ? "" : "\n") + change.key + "\n";
      break;
    }
    case policy::Reason::kUnknown:
    case policy::Reason::kBadArch:
    case policy::Reason::kLook:
      return fail("no rule can say it");
  }
  auto found = now.files.find(change.file);
  if (found == now.files.end()) return fail("the rule is in a preset");
  auto next = std::make_unique<Edited>();
  next->main = now.main;
  next->files = now.files;
  next->paths = now.paths;
  std::string& changed = next->files[change.file];
  changed.insert(at, addition);
  if (!next->Load() || policy::Judge(next->typed, question.call, question.look).action.verb !=
                           policy::Verb::kAllow) {
    return fail("a rule for several calls would have to be taken apart");
  }
  auto line = 1 + std::ranges::count(changed.substr(0, at), '\n');
  std::size_t shown = at;
  if (verdict.reason == policy::Reason::kNoRule) {
    shown = changed.size() - 1;
    line = std::ranges::count(changed, '\n');
  }
  change.proposal.place = fmt::format("{}:{}", change.file, line);
  change.proposal.line = LineAround(changed, shown);
  change.next = std::move(next);
  return change;
}

bool Always::Allows(const Policy::Impl& layer, const supervise::Question& question) const {
  std::lock_guard lock(mutex_);
  if (only_now_.empty()) return false;  // nothing was accepted
  if (!Of(layer).files.empty() &&
      policy::Judge(Of(layer).typed, question.call, question.look).action.verb ==
          policy::Verb::kAllow) {
    return true;
  }
  auto key = KeyOf(question);
  return key && only_now_.contains(*key);
}

Always::Proposal Always::Propose(const Policy::Impl& layer,
                                 const supervise::Question& question) const {
  std::lock_guard lock(mutex_);
  return MakeChange(layer, question).proposal;
}

std::string Always::Accept(const Policy::Impl& layer, const supervise::Question& question) {
  std::lock_guard lock(mutex_);
  Change change = MakeChange(layer, question);
  if (!change.key.empty()) only_now_.insert(change.key);
  if (change.next == nullptr) return change.proposal.warning;
  std::unique_ptr<Edited>& held = edited_.at(&layer);
  const std::string& path = held->paths.at(change.file);
  auto on_disk = policy::DiskReader().Read(path);
  if (!on_disk) return on_disk.error().ToString();
  if (*on_disk != held->files.at(change.file)) {
    return fmt::format("{} has changed since it was read", path);
  }
  if (!WriteFile(path, change.next->files.at(change.file))) {
    return base::ErrnoError("write", path).ToString();
  }
  held = std::move(change.next);
  return {};
}

}  // namespace callgate
