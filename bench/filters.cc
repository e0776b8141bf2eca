#include "bench/filters.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "abi/syscalls.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "bench/measure.h"
#include "bpf/encode.h"
#include "codegen/compile.h"
#include "policy/file_reader.h"
#include "policy/lower.h"
#include "policy/typecheck.h"

namespace callgate::bench {
namespace {

std::uint32_t ActionOf(const std::string& kind, std::uint32_t data) {
  static const std::map<std::string, std::uint32_t> kActions = {
      {"ALLOW", SCMP_ACT_ALLOW},      {"LOG", SCMP_ACT_LOG},
      {"KILL", SCMP_ACT_KILL_THREAD}, {"KILL_THREAD", SCMP_ACT_KILL_THREAD},
      {"TRAP", SCMP_ACT_TRAP},        {"KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
  };
  if (kind == "ERRNO") return SCMP_ACT_ERRNO(data);
  if (kind == "TRACE") return SCMP_ACT_TRACE(data);
  const auto found = kActions.find(kind);
  if (found == kActions.end()) Die("unknown action " + kind);
  return found->second;
}

scmp_compare OperatorOf(const std::string& name) {
  static const std::map<std::string, scmp_compare> kOperators = {
      {"EQ", SCMP_CMP_EQ},
      {"NE", SCMP_CMP_NE},
      {"LT", SCMP_CMP_LT},
      {"LE", SCMP_CMP_LE},
      {"GT", SCMP_CMP_GT},
      {"GE", SCMP_CMP_GE},
      {"MASKED_EQ", SCMP_CMP_MASKED_EQ},
  };
  const auto found = kOperators.find(name);
  if (found == kOperators.end()) Die("unknown operator " + name);
  return found->second;
}

// The library's tables end where its release does; a newer call is given to it by number, or its
// filter would be for a smaller profile. With several ABIs it needs the name.
int NumberOf(const std::string& name, Abis abis) {
  const int nr = seccomp_syscall_resolve_name(name.c_str());
  if (nr != __NR_SCMP_ERROR || abis == Abis::kAllThree) return nr;
  const abi::Syscall* syscall = abi::FindSyscall(abi::ArchId::kX86_64, name);
  return syscall != nullptr ? syscall->nr : __NR_SCMP_ERROR;
}

// An in-memory file to export into, reused so that its making is not measured.
int ExportFile() {
  static const int fd = memfd_create("filter", MFD_CLOEXEC);
  if (fd < 0 || ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0) Die("no memory file");
  return fd;
}

}  // namespace

RuleList ReadRules(const std::string& path) {
  std::ifstream file(path);
  if (!file) Die("cannot read " + path);
  RuleList list;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name;
    std::string kind;
    std::uint32_t data = 0;
    std::size_t count = 0;
    fields >> name >> kind >> data;
    if (name == "default") {
      list.default_action = ActionOf(kind, data);
      continue;
    }
    fields >> count;
    RuleList::Rule rule{name, ActionOf(kind, data), {}};
    for (std::size_t i = 0; i < count; ++i) {
      unsigned index = 0;
      std::string op;
      std::uint64_t value = 0;
      std::uint64_t masked = 0;
      fields >> index >> op >> value >> masked;
      rule.conditions.push_back({index, OperatorOf(op), value, masked});
    }
    if (!fields) Die(fmt::format("{}: cannot read '{}'", path, line));
    list.rules.push_back(std::move(rule));
  }
  return list;
}

bpf::Program BuildByLibseccomp(const RuleList& rules, Abis abis, std::uint32_t level) {
  scmp_filter_ctx filter = seccomp_init(rules.default_action);
  if (filter == nullptr) Die("seccomp_init failed");
  if (abis == Abis::kAllThree && (seccomp_arch_add(filter, SCMP_ARCH_X86) != 0 ||
                                  seccomp_arch_add(filter, SCMP_ARCH_X32) != 0)) {
    Die("seccomp_arch_add failed");
  }
  if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, level) != 0) Die("no such level");
  for (const RuleList::Rule& rule : rules.rules) {
    const int nr = NumberOf(rule.name, abis);
    if (nr == __NR_SCMP_ERROR || rule.action == rules.default_action) continue;
    const int error = seccomp_rule_add_array(filter, rule.action, nr,
                                             static_cast<unsigned>(rule.conditions.size()),
                                             rule.conditions.data());
    if (error != 0) Die(fmt::format("libseccomp refuses the rule for {}: {}", rule.name, error));
  }
  const int fd = ExportFile();
  if (seccomp_export_bpf(filter, fd) != 0) Die("seccomp_export_bpf failed");
  seccomp_release(filter);

  std::string bytes(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)), '\0');
  if (pread(fd, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    Die("cannot read the exported filter");
  }
  auto program = bpf::DecodeRaw(bytes, std::endian::native);
  if (!program) Die(program.error().ToString());
  return *program;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) Die("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

graph::Graph GraphOfPolicy(const std::string& text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  const auto typed = policy::ReadPolicyText("bench.cg", text, policy::MemoryReader({}),
                                            abi::ArchId::kX86_64, sources, diagnostics);
  if (!typed) Die(base::Render(diagnostics, sources, base::Color::kNo));
  return policy::Lower(*typed);
}

bpf::Program BuildByCallgate(const graph::Graph& graph, const codegen::Options& options) {
  auto program = codegen::Compile(graph, options);
  if (!program) Die(program.error().ToString());
  return *std::move(program);
}

}  // namespace callgate::bench
