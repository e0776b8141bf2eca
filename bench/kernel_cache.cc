// Reads the bitmaps in which the kernel keeps the numbers that never run the filter, and compares
// them with bpf::IsConstantAllow: every number of the native and the compat table, for random
// stacks of one to three filters.
//
// Nothing a program can do from outside tells a cached call from one that a filter allowed, but for
// its time. So the bits are read where they lie: a child installs the stack and then runs a small
// BPF program of its own, which follows current->seccomp.filter and copies its `cache` out. The
// places of the members come from the kernel's BTF. Needs root, BTF and kernel 5.14.
//
// usage: kernel_cache [STACKS [SEED]]

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "bpf/cache.h"
#include "bpf/disassemble.h"
#include "bpf/opcodes.h"
#include "testing/random_program.h"

namespace callgate {
namespace {

[[noreturn]] void Die(const std::string& message) {
  fmt::print(stderr, "kernel_cache: {}\n", message);
  std::exit(2);
}

// Where a member lies in a structure of the running kernel.
struct Member {
  std::uint32_t offset;  // bytes
  std::uint32_t size;    // bytes
};

Member FindMember(const btf* types, const char* structure, const char* name) {
  const int id = btf__find_by_name_kind(types, structure, BTF_KIND_STRUCT);
  if (id < 0) Die(fmt::format("the kernel's BTF has no struct {}", structure));
  const btf_type* type = btf__type_by_id(types, static_cast<std::uint32_t>(id));
  const btf_member* members = btf_members(type);
  for (std::uint16_t i = 0; i < btf_vlen(type); ++i) {
    if (std::strcmp(btf__name_by_offset(types, members[i].name_off), name) != 0) continue;
    const std::int64_t size = btf__resolve_size(types, members[i].type);
    return {btf_member_bit_offset(type, i) / 8, static_cast<std::uint32_t>(size)};
  }
  Die(fmt::format("the kernel's struct {} has no member {}", structure, name));
}

struct Layout {
  std::uint32_t filter_in_task;
  std::uint32_t cache_in_filter;
  Member native;  // in the cache
  Member compat;
  std::uint32_t cache_size;
};

Layout ReadLayout() {
  btf* types = btf__load_vmlinux_btf();
  if (types == nullptr) Die("this kernel has no BTF (/sys/kernel/btf/vmlinux)");
  const Member cache = FindMember(types, "seccomp_filter", "cache");
  const Layout layout{FindMember(types, "task_struct", "seccomp").offset +
                          FindMember(types, "seccomp", "filter").offset,
                      cache.offset, FindMember(types, "action_cache", "allow_native"),
                      FindMember(types, "action_cache", "allow_compat"), cache.size};
  btf__free(types);
  return layout;
}

// The program that copies current->seccomp.filter->cache into its context, by way of its stack:
// bpf_probe_read_kernel() does not take the context as a destination.
int LoadReader(const Layout& layout) {
  constexpr std::uint8_t kCall = BPF_JMP | BPF_CALL;
  constexpr std::uint8_t kMove = BPF_ALU64 | BPF_MOV | BPF_X;
  constexpr std::uint8_t kMoveK = BPF_ALU64 | BPF_MOV | BPF_K;
  constexpr std::uint8_t kAddK = BPF_ALU64 | BPF_ADD | BPF_K;
  constexpr std::uint8_t kLoad = BPF_LDX | BPF_DW | BPF_MEM;
  constexpr std::uint8_t kStore = BPF_STX | BPF_DW | BPF_MEM;
  const auto size = static_cast<std::int16_t>(layout.cache_size);
  if (size > 512 || size % 8 != 0) Die("the kernel's bitmaps do not fit a BPF stack");
  std::vector<bpf_insn> code = {
      {kMove, BPF_REG_6, BPF_REG_1, 0, 0},
      {kCall, 0, 0, 0, BPF_FUNC_get_current_task},
      {kMove, BPF_REG_3, BPF_REG_0, 0, 0},
      {kAddK, BPF_REG_3, 0, 0, static_cast<std::int32_t>(layout.filter_in_task)},
      {kMove, BPF_REG_1, BPF_REG_10, 0, 0},
      {kAddK, BPF_REG_1, 0, 0, -8},
      {kMoveK, BPF_REG_2, 0, 0, 8},
      {kCall, 0, 0, 0, BPF_FUNC_probe_read_kernel},
      {kLoad, BPF_REG_3, BPF_REG_10, -8, 0},
      {kAddK, BPF_REG_3, 0, 0, static_cast<std::int32_t>(layout.cache_in_filter)},
      {kMove, BPF_REG_1, BPF_REG_10, 0, 0},
      {kAddK, BPF_REG_1, 0, 0, -size},
      {kMoveK, BPF_REG_2, 0, 0, size},
      {kCall, 0, 0, 0, BPF_FUNC_probe_read_kernel},
      {kMove, BPF_REG_7, BPF_REG_0, 0, 0},
  };
  for (std::int16_t at = 0; at < size; at = static_cast<std::int16_t>(at + 8)) {
    code.push_back({kLoad, BPF_REG_1, BPF_REG_10, static_cast<std::int16_t>(at - size), 0});
    code.push_back({kStore, BPF_REG_6, BPF_REG_1, at, 0});
  }
  code.push_back({kMove, BPF_REG_0, BPF_REG_7, 0, 0});
  code.push_back({BPF_JMP | BPF_EXIT, 0, 0, 0, 0});
  bpf_prog_load_opts options{};
  options.sz = sizeof(options);
  options.prog_flags = BPF_F_SLEEPABLE;
  std::string log(65536, '\0');
  options.log_buf = log.data();
  options.log_size = static_cast<std::uint32_t>(log.size());
  options.log_level = 1;
  const int fd =
      bpf_prog_load(BPF_PROG_TYPE_SYSCALL, nullptr, "GPL", code.data(), code.size(), &options);
  if (fd < 0)
    Die(fmt::format("cannot load a BPF program: {}\n{}", std::strerror(errno), log.c_str()));
  return fd;
}

// What a child reports, in memory that both see: its filter may refuse every other way.
struct Report {
  std::atomic<int> error;
  std::uint8_t cache[1024];
};

// Installs the stack in a child and fills `report`.
void AskKernel(const std::vector<bpf::Program>& stack, int reader, std::uint32_t cache_size,
               Report& report) {
  const pid_t child = fork();
  if (child < 0) Die("cannot fork");
  if (child == 0) {
    int error = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
    for (const bpf::Program& program : stack) {
      const sock_fprog filter{
          static_cast<unsigned short>(program.size()),
          reinterpret_cast<sock_filter*>(const_cast<bpf::Instruction*>(program.data()))};
      if (error == 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0)
        error = errno;
    }
    bpf_attr attributes{};
    attributes.test.prog_fd = static_cast<std::uint32_t>(reader);
    attributes.test.ctx_in = reinterpret_cast<std::uintptr_t>(report.cache);
    attributes.test.ctx_size_in = cache_size;
    if (error == 0 && syscall(SYS_bpf, BPF_PROG_RUN, &attributes, sizeof(attributes)) != 0)
      error = errno;
    if (error == 0 && attributes.test.retval != 0) error = EFAULT;
    report.error = error;
    __builtin_trap();  // an exit could be refused
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
  }
  if (report.error != 0) Die(fmt::format("child: {}", std::strerror(report.error)));
}

// The filter lets bpf(2) and seccomp(2) through, so that the child can go on; then it is `program`.
bpf::Program WithWayOut(const bpf::Program& program) {
  auto code = [](bpf::Opcode opcode, std::uint32_t k, std::uint8_t jt, std::uint8_t jf) {
    return bpf::Instruction{static_cast<std::uint16_t>(opcode), jt, jf, k};
  };
  bpf::Program whole = {code(bpf::Opcode::kLdAbs, 0, 0, 0), code(bpf::Opcode::kJeqK, SYS_bpf, 1, 0),
                        code(bpf::Opcode::kJeqK, SYS_seccomp, 0, 1),
                        code(bpf::Opcode::kRetK, SECCOMP_RET_ALLOW, 0, 0)};
  whole.insert(whole.end(), program.begin(), program.end());
  return whole;
}

// The numbers to compare. A filter that allows nothing shows them: behind the kernel's table the
// bits stay set, since nobody looks at them; and some numbers are let through whatever a filter
// says (x86_64: uretprobe and uprobe, since 6.11 and 6.15).
struct Table {
  std::uint32_t size = 0;
  std::vector<bool> exempt;
};

Table ReadTable(const bpf::Program& filter, std::uint32_t audit_arch, const std::uint8_t* bits,
                std::uint32_t size) {
  auto is_set = [&](std::uint32_t nr) { return (bits[nr / 8] >> (nr % 8) & 1) != 0; };
  Table table{8 * size, {}};
  while (table.size > 0 && is_set(table.size - 1)) --table.size;
  for (std::uint32_t nr = 0; nr < table.size; ++nr) {
    table.exempt.push_back(is_set(nr) && !bpf::IsConstantAllow(filter, nr, audit_arch));
  }
  return table;
}

void Print(const char* name, const Table& table) {
  fmt::print("  {}: {} numbers; let through whatever a filter says:", name, table.size);
  for (std::uint32_t nr = 0; nr < table.size; ++nr) {
    if (table.exempt[nr]) fmt::print(" {}", nr);
  }
  fmt::print("\n");
}

struct Counts {
  std::uint64_t bits = 0;
  std::uint64_t set = 0;
};

void Compare(const std::vector<bpf::Program>& stack, const std::uint8_t* bits, const Table& table,
             std::uint32_t audit_arch, Counts& counts) {
  const std::vector<bpf::ProgramView> views(stack.begin(), stack.end());
  for (std::uint32_t nr = 0; nr < table.size; ++nr) {
    if (table.exempt[nr]) continue;
    const bool kernel = (bits[nr / 8] >> (nr % 8) & 1) != 0;
    ++counts.bits;
    counts.set += kernel ? 1 : 0;
    if (kernel == bpf::IsConstantAllow(views, nr, audit_arch)) continue;
    for (const bpf::Program& program : stack) fmt::print(stderr, "{}\n", bpf::Disassemble(program));
    Die(fmt::format("arch {:#x} nr {}: the kernel says {}", audit_arch, nr, kernel));
  }
}

int Main(std::uint64_t stacks, std::uint64_t seed) {
  const Layout layout = ReadLayout();
  const int reader = LoadReader(layout);
  void* memory =
      mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || layout.cache_size > sizeof(Report::cache))
    Die("no room for the report");
  auto& report = *new (memory) Report{};
  const std::uint8_t* native = report.cache + layout.native.offset;
  const std::uint8_t* compat = report.cache + layout.compat.offset;

  const bpf::Program deny_rest =
      WithWayOut({{static_cast<std::uint16_t>(bpf::Opcode::kRetK), 0, 0, SECCOMP_RET_ERRNO}});
  AskKernel({deny_rest}, reader, layout.cache_size, report);
  const Table native_table = ReadTable(deny_rest, AUDIT_ARCH_X86_64, native, layout.native.size);
  const Table compat_table = ReadTable(deny_rest, AUDIT_ARCH_I386, compat, layout.compat.size);
  fmt::print("seed {}\n", seed);
  Print("x86_64", native_table);
  Print("i386", compat_table);

  testing::ProgramGenerator generator(seed);
  Counts counts;
  for (std::uint64_t i = 0; i < stacks; ++i) {
    std::vector<bpf::Program> stack(1 + generator.Below(3));
    for (bpf::Program& program : stack) program = WithWayOut(generator.NearlyEmulated());
    AskKernel(stack, reader, layout.cache_size, report);
    Compare(stack, native, native_table, AUDIT_ARCH_X86_64, counts);
    Compare(stack, compat, compat_table, AUDIT_ARCH_I386, counts);
  }
  fmt::print("{} stacks, {} bits compared ({} set), no difference\n", stacks, counts.bits,
             counts.set);
  return 0;
}

}  // namespace
}  // namespace callgate

int main(int argc, char** argv) {
  const std::uint64_t stacks = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 10'000;
  const std::uint64_t seed =
      argc > 2 ? std::strtoull(argv[2], nullptr, 0) : callgate::testing::RandomSeed();
  return callgate::Main(stacks, seed);
}
