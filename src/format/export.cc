#include "format/export.h"

#include <algorithm>
#include <map>
#include <utility>

#include "abi/syscalls.h"
#include "base/check.h"
#include "fmt/format.h"
#include "policy/file_reader.h"
#include "policy/typecheck.h"

namespace callgate::format {
namespace {

using policy::PolicyAction;

constexpr std::size_t kShownLosses = 20;

bool IsStricter(const PolicyAction& a, const PolicyAction& b) {
  return KernelAction(a).Outranks(KernelAction(b));
}

bool SameForKernel(const PolicyAction& a, const PolicyAction& b) {
  return KernelAction(a) == KernelAction(b);
}

class Exporter {
 public:
  Exporter(const policy::TypedPolicy& policy, ForeignFormat format, const ExportOptions& options)
      : policy_(policy), format_(format), options_(options), flat_(Flatten(policy)) {}

  base::Result<Exported> Run() {
    ExportInput input{policy_, options_, {}};
    for (const FlatArch& arch : flat_) input.arches.push_back(ListCalls(arch));
    Exported exported;
    exported.text = Write(input);
    if (auto read = ReadBack(exported.text); !read) return std::unexpected(read.error());
    if (!losses_.empty()) return Refuse();
    NoteRest();
    exported.notes = std::move(notes_);
    return exported;
  }

 private:
  // Formats give a call one answer besides the default. Where a policy has more, or is too complex,
  // one is chosen here; reading back decides whether that was asked for.
  ExportArch ListCalls(const FlatArch& arch) {
    ExportArch result{arch.arch, {}};
    for (const FlatCall& call : arch.calls) {
      if (abi::FindSyscall(arch.arch, call.nr) == nullptr) {
        unnamed_ = true;
        continue;
      }
      Listed listed{call.name, {Cube{}}, call.rest};
      if (call.is_known && !call.parts.empty()) Choose(call, listed);
      if (SameForKernel(listed.action, policy_.default_action)) continue;
      result.calls.push_back(std::move(listed));
    }
    return result;
  }

  void Choose(const FlatCall& call, Listed& listed) {
    // What gets something else than the default, as cubes.
    std::vector<ActionCubes> others;
    PolicyAction strictest = call.rest, loosest = call.rest;
    for (const ActionCubes& part : call.parts) {
      if (!SameForKernel(part.action, policy_.default_action)) others.push_back(part);
      if (IsStricter(part.action, strictest)) strictest = part.action;
      if (IsStricter(loosest, part.action)) loosest = part.action;
    }
    if (!SameForKernel(call.rest, policy_.default_action)) {
      auto rest = Subtract({Cube{}}, UnionOf(call.parts));
      others.push_back({call.rest, rest.value_or(CubeSet{})});
      if (!rest) others.push_back({call.rest, {}});
    }
    if (others.size() == 1 && format_ != ForeignFormat::kSystemd) {
      listed.action = others.front().action;
      listed.cubes = others.front().cubes;
      return;
    }
    listed.action = options_.approximate == Approximate::kLooser ? loosest : strictest;
  }

  std::string Write(const ExportInput& input) {
    switch (format_) {
      case ForeignFormat::kOci:
        return WriteOci(input);
      case ForeignFormat::kDocker:
        return WriteDocker(input);
      case ForeignFormat::kSpo:
        return WriteSpo(input);
      case ForeignFormat::kFirecracker:
        return WriteFirecracker(input);
      case ForeignFormat::kMinijail:
        return WriteMinijail(input);
      case ForeignFormat::kKafel:
        return WriteKafel(input);
      case ForeignFormat::kSystemd:
        return WriteSystemd(input);
      case ForeignFormat::kRaw:
        break;
    }
    CG_CHECK(false);
  }

  base::Result<void> ReadBack(const std::string& text) {
    ImportOptions options;
    options.format = format_;
    options.arch = flat_.front().arch;
    base::SourceMap sources;
    base::Diagnostics diagnostics;
    policy::MemoryReader nothing({});
    auto imported = Import("export", text, options, nothing, sources, diagnostics);
    std::optional<policy::TypedPolicy> typed;
    if (imported) {
      typed = policy::ReadPolicyText("export.cg", imported->policy, nothing, flat_.front().arch,
                                     sources, diagnostics);
    }
    if (!typed) {
      auto first =
          std::ranges::find(diagnostics.all(), base::Severity::kError, &base::Diagnostic::severity);
      CG_CHECK(first != diagnostics.all().end());
      base::Error error;
      error.operation = "export to";
      error.subject = NameOf(format_);
      error.reason = "the format cannot hold this policy: " + first->message;
      return base::Fail(std::move(error));
    }
    // What the runtime does beyond the text is for the reader of what was written, too.
    for (std::string& note : imported->notes) notes_.push_back(std::move(note));
    std::vector<FlatArch> after = Flatten(*typed);
    for (const FlatArch& arch : flat_) {
      auto place = std::ranges::find(after, arch.arch, &FlatArch::arch);
      if (place == after.end()) {
        CompareWithBadArch(arch, typed->bad_arch_action);
      } else {
        CompareArch(arch, *place);
      }
    }
    CompareOtherArches(after, *typed);
    return {};
  }

  void CompareArch(const FlatArch& before, const FlatArch& after) {
    std::map<std::int32_t, const FlatCall*> by_number;
    for (const FlatCall& call : after.calls) by_number[call.nr] = &call;
    for (const FlatCall& call : before.calls) {
      if (abi::FindSyscall(before.arch, call.nr) == nullptr) continue;
      auto other = by_number.find(call.nr);
      CG_CHECK(other != by_number.end());
      Judge(before.arch, call.name, Differences(call, *other->second));
    }
  }

  void CompareWithBadArch(const FlatArch& arch, const PolicyAction& action) {
    for (const FlatCall& call : arch.calls) {
      Judge(arch.arch, call.name, Differences(call, {call.nr, call.name, true, {}, action}));
    }
  }

  void CompareOtherArches(const std::vector<FlatArch>& after, const policy::TypedPolicy& typed) {
    for (const FlatArch& arch : after) {
      if (std::ranges::find(flat_, arch.arch, &FlatArch::arch) == flat_.end()) {
        notes_.push_back(
            fmt::format("calls of {} are decided by the runtime; the policy says "
                        "bad_arch: {}",
                        abi::ArchOf(arch.arch).name, ToString(policy_.bad_arch_action, arch.arch)));
      }
    }
    if (!SameForKernel(typed.bad_arch_action, policy_.bad_arch_action)) {
      notes_.push_back(fmt::format("calls of other ABIs get {}; the policy says bad_arch: {}",
                                   ToString(typed.bad_arch_action, flat_.front().arch),
                                   ToString(policy_.bad_arch_action, flat_.front().arch)));
    }
    if (!SameForKernel(typed.unknown_action, policy_.unknown_action)) {
      notes_.push_back(fmt::format("numbers that no kernel has get {}; the policy says unknown: {}",
                                   ToString(typed.unknown_action, flat_.front().arch),
                                   ToString(policy_.unknown_action, flat_.front().arch)));
    }
  }

  void Judge(abi::ArchId arch, const std::string& name,
             const std::optional<std::vector<Difference>>& differences) {
    std::string where = flat_.size() > 1 ? std::string(abi::ArchOf(arch).name) + "." : "";
    if (!differences) {
      losses_.push_back(
          fmt::format("{}{}: its rule is too complex to be taken apart", where, name));
      return;
    }
    for (const Difference& difference : *differences) {
      bool tighter = IsStricter(difference.after, difference.before);
      bool looser = IsStricter(difference.before, difference.after);
      std::string text =
          fmt::format("{}{}: {} becomes {}", where, name, ToString(difference.before, arch),
                      ToString(difference.after, arch));
      bool asked = (tighter && options_.approximate == Approximate::kTighter) ||
                   (looser && options_.approximate == Approximate::kLooser);
      (asked ? notes_ : losses_).push_back(std::move(text));
    }
  }

  void NoteRest() {
    if (unnamed_) notes_.push_back("rules for numbers without a name are left out");
    if (policy_.on_next_syscall) notes_.push_back("on_next_syscall is the launcher's to say");
  }

  std::unexpected<base::Error> Refuse() {
    std::string list;
    for (std::size_t i = 0; i < losses_.size() && i < kShownLosses; ++i) {
      list += "\n  " + losses_[i];
    }
    if (losses_.size() > kShownLosses) {
      list += fmt::format("\n  … and {} more", losses_.size() - kShownLosses);
    }
    base::Error error;
    error.operation = "export to";
    error.subject = NameOf(format_);
    error.reason = fmt::format(
        "the format cannot say all of the policy{}:{}",
        options_.approximate == Approximate::kNo
            ? " (--approximate tighter or looser writes what comes nearest on that side)"
            : ", and this is not the side that --approximate asks for",
        list);
    return base::Fail(std::move(error));
  }

  const policy::TypedPolicy& policy_;
  ForeignFormat format_;
  const ExportOptions& options_;
  std::vector<FlatArch> flat_;
  std::vector<std::string> losses_;
  std::vector<std::string> notes_;
  bool unnamed_ = false;
};

}  // namespace

base::Result<Exported> Export(const policy::TypedPolicy& policy, ForeignFormat format,
                              const ExportOptions& options) {
  return Exporter(policy, format, options).Run();
}

}  // namespace callgate::format
