// OCI runtime JSON, and Docker's profile form, which adds conditions (includes, excludes) and a map
// of ABIs. Docker decides the conditions when a container starts, from its machine, capabilities
// and kernel; so does this, from ImportOptions, and notes what it took.

#include "format/oci.h"

#include <algorithm>
#include <array>

#include "abi/constants.h"
#include "base/nearest.h"
#include "fmt/format.h"

namespace callgate::format {
namespace {

struct ArchName {
  std::string_view scmp;
  abi::ArchId arch;
  std::string_view docker;  // Go's name of a machine; empty: no machine of its own
};

constexpr std::array<ArchName, 20> kArches{{
    {"SCMP_ARCH_X86_64", abi::ArchId::kX86_64, "amd64"},
    {"SCMP_ARCH_X86", abi::ArchId::kI386, "x86"},
    {"SCMP_ARCH_X32", abi::ArchId::kX32, "x32"},
    {"SCMP_ARCH_ARM", abi::ArchId::kArm, "arm"},
    {"SCMP_ARCH_AARCH64", abi::ArchId::kAarch64, "arm64"},
    {"SCMP_ARCH_MIPS", abi::ArchId::kMips, "mips"},
    {"SCMP_ARCH_MIPS64", abi::ArchId::kMips64, "mips64"},
    {"SCMP_ARCH_MIPS64N32", abi::ArchId::kMips64n32, "mips64n32"},
    {"SCMP_ARCH_MIPSEL", abi::ArchId::kMipsel, "mipsel"},
    {"SCMP_ARCH_MIPSEL64", abi::ArchId::kMipsel64, "mipsel64"},
    {"SCMP_ARCH_MIPSEL64N32", abi::ArchId::kMipsel64n32, "mipsel64n32"},
    {"SCMP_ARCH_PPC", abi::ArchId::kPpc, "ppc"},
    {"SCMP_ARCH_PPC64", abi::ArchId::kPpc64, "ppc64"},
    {"SCMP_ARCH_PPC64LE", abi::ArchId::kPpc64le, "ppc64le"},
    {"SCMP_ARCH_S390", abi::ArchId::kS390, "s390"},
    {"SCMP_ARCH_S390X", abi::ArchId::kS390x, "s390x"},
    {"SCMP_ARCH_PARISC", abi::ArchId::kParisc, "parisc"},
    {"SCMP_ARCH_PARISC64", abi::ArchId::kParisc64, "parisc64"},
    {"SCMP_ARCH_RISCV64", abi::ArchId::kRiscv64, "riscv64"},
    {"SCMP_ARCH_LOONGARCH64", abi::ArchId::kLoongarch64, "loong64"},
}};

// What `docker run` gives a container.
constexpr std::array<std::string_view, 14> kDockerCapabilities{
    "CAP_CHOWN",      "CAP_DAC_OVERRIDE", "CAP_FSETID",      "CAP_FOWNER",          "CAP_MKNOD",
    "CAP_NET_RAW",    "CAP_SETGID",       "CAP_SETUID",      "CAP_SETFCAP",         "CAP_SETPCAP",
    "CAP_SYS_CHROOT", "CAP_KILL",         "CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE"};

constexpr std::array<std::string_view, 7> kOps{"EQ", "NE", "LT", "LE", "GT", "GE", "MASKED_EQ"};

// Names of a rule × its conditions, over all rules: a list of names and a list of conditions of one
// rule can stand for far more than the file is long.
constexpr std::size_t kMaxConditions = 1U << 20;

class OciReader {
 public:
  OciReader(Reading& reading, const Tree& tree) : reading_(reading), tree_(tree) {}

  std::optional<Foreign> Run() {
    if (tree_.kind != Tree::Kind::kMap) {
      return reading_.Fail(tree_.span, "a seccomp profile is a JSON object");
    }
    const Tree* default_action = tree_.Find("defaultAction");
    if (default_action == nullptr) {
      return reading_.Fail({tree_.span.file, tree_.span.begin, tree_.span.begin + 1},
                           "this object has no 'defaultAction'", "it is no seccomp profile");
    }
    CheckKeys(tree_, {"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures",
                      "archMap", "syscalls", "flags", "listenerPath", "listenerMetadata",
                      "baseProfileName", "disabled"});
    if (!ReadArches()) return std::nullopt;
    auto action = ReadAction(tree_, "defaultAction", "defaultErrnoRet", "defaultErrno");
    if (!action) return std::nullopt;
    if (action->scmp == "SCMP_ACT_NOTIFY") {
      return reading_.Fail(default_action->span, "the default action cannot be SCMP_ACT_NOTIFY",
                           "runtimes refuse such a profile");
    }
    profile_.default_action = action->text;
    profile_.default_allows = action->scmp == "SCMP_ACT_ALLOW" || action->scmp == "SCMP_ACT_LOG" ||
                              action->scmp == "SCMP_ACT_TRACE";
    if (!ReadRules()) return std::nullopt;
    NoteRest();
    return ExecuteOci(profile_, reading_);
  }

 private:
  struct Action {
    std::string text;
    std::string scmp;
  };

  void CheckKeys(const Tree& map, std::initializer_list<std::string_view> known) {
    for (const Tree::Entry& entry : map.entries) {
      if (std::ranges::find(known, entry.key) == known.end()) {
        reading_.Note(fmt::format("'{}' means nothing to runtimes and is ignored", entry.key));
      }
    }
  }

  // The native ABI, and those beside it.
  bool ReadArches() {
    std::vector<abi::ArchId> listed;
    Field field{reading_, tree_};
    for (const auto& [name, span] : field.Texts("architectures")) {
      // SPO and Kubernetes allow empty elements in no list; libseccomp takes none of them.
      auto arch = ArchOf(name, span);
      if (!arch) return false;
      listed.push_back(*arch);
    }
    const Tree* map = field.Get("archMap", Tree::Kind::kList);
    if (!field.ok) return false;
    std::optional<abi::ArchId> native = reading_.options.arch;
    if (!native && !listed.empty() &&
        std::ranges::find(listed, abi::NativeArch()) == listed.end()) {
      native = listed.front();
      reading_.Note(fmt::format("the machine is taken to be {}, the first of 'architectures'",
                                abi::ArchOf(*native).name));
    }
    native_ = native.value_or(abi::NativeArch());
    profile_.arches = {native_};
    auto add = [&](abi::ArchId arch) {
      if (std::ranges::find(profile_.arches, arch) == profile_.arches.end()) {
        profile_.arches.push_back(arch);
      }
    };
    for (abi::ArchId arch : listed) add(arch);
    if (map == nullptr) return true;
    if (!listed.empty()) {
      reading_.Fail(map->span, "'architectures' and 'archMap' were specified in the profile",
                    "Docker takes one of them");
      return false;
    }
    return ReadArchMap(*map, add);
  }

  template <typename Add>
  bool ReadArchMap(const Tree& map, Add add) {
    for (const Tree& row : map.items) {
      Field field{reading_, row};
      const Tree* name = field.Get("architecture", Tree::Kind::kString);
      if (name == nullptr) {
        if (field.ok) reading_.Fail(row.span, "an element of 'archMap' has no 'architecture'");
        return false;
      }
      auto arch = ArchOf(name->text, name->span);
      if (!arch) return false;
      auto subs = field.Texts("subArchitectures");
      if (!field.ok) return false;
      if (*arch != native_) continue;
      for (const auto& [sub, span] : subs) {
        auto sub_arch = ArchOf(sub, span);
        if (!sub_arch) return false;
        add(*sub_arch);
      }
      return true;
    }
    return true;
  }

  std::optional<abi::ArchId> ArchOf(const std::string& name, base::Span span) {
    if (auto arch = ArchOfScmp(name)) return arch;
    base::NearestName nearest(name);
    for (const ArchName& known : kArches) nearest.Offer(known.scmp);
    auto best = nearest.Best();
    return reading_.Fail(span, fmt::format("unknown architecture '{}'", name.substr(0, 60)),
                         best ? fmt::format("did you mean '{}'?", *best) : "");
  }

  std::optional<Action> ReadAction(const Tree& map, std::string_view key, std::string_view ret_key,
                                   std::string_view name_key) {
    Field field{reading_, map};
    const Tree* name = field.Get(key, Tree::Kind::kString);
    if (name == nullptr) {
      if (!field.ok) return std::nullopt;
      return reading_.Fail({map.span.file, map.span.begin, map.span.begin + 1},
                           fmt::format("this rule has no '{}'", key));
    }
    const Tree* ret = field.Get(ret_key, Tree::Kind::kNumber);
    std::uint64_t data = 1;  // EPERM
    if (auto number = field.Number(ret_key)) data = *number;
    // containers/common names the error as well; the name counts there.
    std::string errno_name = field.Text(name_key);
    if (!field.ok) return std::nullopt;
    if (!errno_name.empty()) {
      auto value = abi::ErrnoValue(native_, errno_name);
      if (!value) {
        return reading_.Fail(map.Find(name_key)->span,
                             fmt::format("'{}' is not an error name", errno_name.substr(0, 40)));
      }
      data = *value;
    }
    // libseccomp's own limit is one below the kernel's.
    if (data > 4094 && name->text == "SCMP_ACT_ERRNO") {
      return reading_.Fail(ret == nullptr ? name->span : ret->span,
                           fmt::format("libseccomp takes error numbers up to 4094, not {}", data),
                           "runtimes refuse such a profile");
    }
    bool takes_data = name->text == "SCMP_ACT_ERRNO" || name->text == "SCMP_ACT_TRACE";
    if (ret != nullptr && !takes_data) {
      return reading_.Fail(ret->span, fmt::format("{} takes no '{}'", name->text, ret_key),
                           "runtimes refuse such a profile");
    }
    const std::pair<std::string_view, std::string> kActions[] = {
        {"SCMP_ACT_ALLOW", "allow"},
        {"SCMP_ACT_ERRNO", ErrnoAction(native_, data)},
        {"SCMP_ACT_KILL", "kill_thread"},
        {"SCMP_ACT_KILL_THREAD", "kill_thread"},
        {"SCMP_ACT_KILL_PROCESS", "kill"},
        {"SCMP_ACT_LOG", "log"},
        {"SCMP_ACT_NOTIFY", "notify"},
        {"SCMP_ACT_TRACE", fmt::format("trace({})", data & 0xFFFFU)},
        {"SCMP_ACT_TRAP", "trap(0)"},
    };
    base::NearestName nearest(name->text);
    for (const auto& [scmp, text] : kActions) {
      if (scmp == name->text) return Action{text, name->text};
      nearest.Offer(scmp);
    }
    auto best = nearest.Best();
    return reading_.Fail(name->span, fmt::format("unknown action '{}'", name->text.substr(0, 60)),
                         best ? fmt::format("did you mean '{}'?", *best) : "");
  }

  bool ReadRules() {
    Field field{reading_, tree_};
    const Tree* rules = field.Get("syscalls", Tree::Kind::kList);
    if (rules == nullptr) return field.ok;
    for (const Tree& rule : rules->items) {
      if (rule.kind != Tree::Kind::kMap) {
        reading_.Fail(rule.span, "an element of 'syscalls' must be an object");
        return false;
      }
      if (!ReadRule(rule)) return false;
    }
    return true;
  }

  bool ReadRule(const Tree& rule) {
    CheckKeys(rule, {"names", "name", "action", "errnoRet", "errno", "args", "comment", "includes",
                     "excludes"});
    Field field{reading_, rule};
    auto names = field.Texts("names");
    if (const Tree* name = field.Get("name", Tree::Kind::kString); name && !name->text.empty()) {
      if (!names.empty()) {
        reading_.Fail(name->span, "'name' and 'names' were specified in one rule",
                      "runtimes refuse such a profile");
        return false;
      }
      names.emplace_back(name->text, name->span);
    }
    auto action = ReadAction(rule, "action", "errnoRet", "errno");
    auto conditions = ReadConditions(field);
    auto applies = Applies(field);
    if (!field.ok || !action || !conditions || !applies) return false;
    for (const auto& [name, span] : names) {
      if (name.empty()) {
        reading_.Fail(span, "an empty name of a system call", "runtimes refuse such a profile");
        return false;
      }
      if (action->scmp == "SCMP_ACT_NOTIFY" && name == "write") {
        reading_.Fail(span, "SCMP_ACT_NOTIFY cannot be used for the write system call",
                      "runtimes refuse such a profile: they need it to send the listener");
        return false;
      }
      if (!*applies) continue;
      conditions_ += conditions->size() + 1;
      if (conditions_ > kMaxConditions) {
        reading_.Fail(span, fmt::format("names times conditions are more than {}", kMaxConditions));
        return false;
      }
      profile_.rules.push_back({name, span, action->text, *conditions});
    }
    return true;
  }

  std::optional<std::vector<OciCondition>> ReadConditions(Field& field) {
    std::vector<OciCondition> conditions;
    const Tree* list = field.Get("args", Tree::Kind::kList);
    if (list == nullptr) return conditions;
    for (const Tree& item : list->items) {
      Field arg{reading_, item};
      OciCondition condition;
      if (item.kind != Tree::Kind::kMap) {
        return reading_.Fail(item.span, "an element of 'args' must be an object");
      }
      std::uint64_t index = arg.Number("index").value_or(0);
      condition.value = arg.Number("value").value_or(0);
      condition.value_two = arg.Number("valueTwo").value_or(0);
      const Tree* op = arg.Get("op", Tree::Kind::kString);
      if (!arg.ok) return std::nullopt;
      if (index > 5) {
        return reading_.Fail(item.Find("index")->span,
                             fmt::format("there is no argument {}: they are 0 to 5", index));
      }
      std::string_view name = op == nullptr ? "" : std::string_view(op->text);
      bool known =
          name.starts_with("SCMP_CMP_") && std::ranges::find(kOps, name.substr(9)) != kOps.end();
      if (!known) {
        return reading_.Fail(op == nullptr ? item.span : op->span,
                             fmt::format("unknown comparison '{}'", name.substr(0, 60)),
                             "they are SCMP_CMP_EQ, NE, LT, LE, GT, GE and MASKED_EQ");
      }
      condition.index = static_cast<int>(index);
      condition.op = name.substr(9);
      conditions.push_back(std::move(condition));
    }
    return conditions;
  }

  // Docker's conditions. nullopt: malformed.
  std::optional<bool> Applies(Field& field) {
    bool applies = true;
    for (std::string_view key : {"includes", "excludes"}) {
      const Tree* filter = field.Get(key, Tree::Kind::kMap);
      if (filter == nullptr) continue;
      CheckKeys(*filter, {"caps", "arches", "minKernel"});
      bool includes = key == "includes";
      Field inner{reading_, *filter};
      auto arches = inner.Texts("arches");
      auto caps = inner.Texts("caps");
      std::string min_kernel = inner.Text("minKernel");
      if (!inner.ok) return std::nullopt;
      auto is_native = [&](const auto& arch) { return arch.first == DockerNameOf(native_); };
      auto is_given = [&](const auto& cap) { return HasCapability(cap.first); };
      if (!arches.empty()) {
        bool here = std::ranges::any_of(arches, is_native);
        if (here != includes) applies = false;
      }
      if (!caps.empty()) {
        uses_capabilities_ = true;
        if (includes && !std::ranges::all_of(caps, is_given)) applies = false;
        if (!includes && std::ranges::any_of(caps, is_given)) applies = false;
      }
      if (!min_kernel.empty()) {
        auto version = abi::ParseKernelVersion(min_kernel);
        if (!version) {
          return reading_.Fail(filter->Find("minKernel")->span,
                               fmt::format("'{}' is no kernel version", min_kernel.substr(0, 40)));
        }
        uses_kernel_ = true;
        bool new_enough = !reading_.options.kernel || *reading_.options.kernel >= *version;
        if (new_enough != includes) applies = false;
      }
    }
    return applies;
  }

  bool HasCapability(const std::string& name) const {
    if (!reading_.options.capabilities) {
      return std::ranges::find(kDockerCapabilities, name) != kDockerCapabilities.end();
    }
    return std::ranges::find(*reading_.options.capabilities, name) !=
           reading_.options.capabilities->end();
  }

  void NoteRest() {
    if (uses_capabilities_ && !reading_.options.capabilities) {
      reading_.Note(
          "conditions on capabilities are decided for those that 'docker run' gives; "
          "--cap names others");
    }
    if (uses_kernel_ && !reading_.options.kernel) {
      reading_.Note("conditions on the kernel's version hold; --kernel names an older one");
    }
    Field field{reading_, tree_};
    if (tree_.Find("listenerPath") != nullptr) {
      reading_.Note("the listener (listenerPath) is the runtime's to connect, not the policy's");
    }
    for (const auto& [flag, span] : field.Texts("flags")) {
      reading_.Note(fmt::format("{} is for the install of a filter, not a part of a policy", flag));
    }
  }

  Reading& reading_;
  const Tree& tree_;
  abi::ArchId native_ = abi::NativeArch();
  OciProfile profile_;
  bool uses_capabilities_ = false;
  bool uses_kernel_ = false;
  std::size_t conditions_ = 0;
};

}  // namespace

std::optional<abi::ArchId> ArchOfScmp(std::string_view name) {
  for (const ArchName& known : kArches) {
    if (known.scmp == name) return known.arch;
  }
  return std::nullopt;
}

std::string_view ScmpOfArch(abi::ArchId arch) {
  for (const ArchName& known : kArches) {
    if (known.arch == arch) return known.scmp;
  }
  return "";
}

std::string_view DockerNameOf(abi::ArchId arch) {
  for (const ArchName& known : kArches) {
    if (known.arch == arch) return known.docker;
  }
  return "";
}

std::optional<Foreign> ReadOciTree(Reading& reading, const Tree& profile) {
  return OciReader(reading, profile).Run();
}

std::optional<Foreign> ReadOci(Reading& reading) {
  auto tree = ReadJson(reading.sources, reading.file, reading.diagnostics);
  if (!tree) return std::nullopt;
  // A whole config.json of the OCI runtime specification.
  if (const Tree* linux = tree->Find("linux"); linux != nullptr) {
    const Tree* seccomp = linux->Find("seccomp");
    if (seccomp == nullptr) {
      return reading.Fail(linux->span, "this configuration has no linux.seccomp",
                          "the container would run without a filter");
    }
    return ReadOciTree(reading, *seccomp);
  }
  return ReadOciTree(reading, *tree);
}

}  // namespace callgate::format
