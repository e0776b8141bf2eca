// The tables against this machine: its kernel headers, read by the C compiler, and the argument
// names and counts that its kernel prints in tracefs. The headers' version decides which names can
// be compared; the counts are printed, so that a comparison of nothing is seen.

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "abi/constants.h"
#include "abi/syscalls.h"
#include "abi/version.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace callgate::abi {
namespace {

namespace fs = std::filesystem;

using Row = std::map<std::string, std::string>;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::vector<Row> ReadTable(const std::string& name) {
  std::ifstream file(fs::path(CALLGATE_SOURCE_DIR) / "data" / name);
  EXPECT_TRUE(file) << name;
  std::string line;
  std::getline(file, line);
  const auto columns = Split(line, '\t');
  std::vector<Row> rows;
  while (std::getline(file, line)) {
    const auto cells = Split(line, '\t');
    EXPECT_EQ(cells.size(), columns.size()) << line;
    Row row;
    for (std::size_t i = 0; i < columns.size(); ++i) row[columns[i]] = cells[i];
    rows.push_back(row);
  }
  return rows;
}

// Runs the C compiler on a source text; its output, standard error included.
struct Compiled {
  int status = -1;
  std::string output;
};
Compiled Compile(const std::string& flags, const std::string& source) {
  const fs::path path = fs::path(::testing::TempDir()) / fmt::format("abi_host_{}.c", ::getpid());
  std::ofstream(path) << source;
  const std::string command =
      fmt::format("LC_ALL=C {} {} '{}' 2>&1", CALLGATE_C_COMPILER, flags, path.string());
  Compiled result;
  FILE* pipe = ::popen(command.c_str(), "re");
  EXPECT_NE(pipe, nullptr);
  char buffer[4096];
  while (const std::size_t size = std::fread(buffer, 1, sizeof buffer, pipe)) {
    result.output.append(buffer, size);
  }
  result.status = ::pclose(pipe);
  fs::remove(path);
  return result;
}

// name → number of every __NR_ macro of a header.
std::map<std::string, long> NumbersOf(const std::string& header) {
  // The macros' values are expressions; a second run lets the compiler expand them, and the
  // expressions in use are sums.
  const std::string prelude = "#define __X32_SYSCALL_BIT 0x40000000\n#include <" + header + ">\n";
  std::set<std::string> names;
  std::istringstream macros(Compile("-E -dM", prelude).output);
  for (std::string line; std::getline(macros, line);) {
    std::smatch match;
    if (std::regex_match(line, match, std::regex("#define __NR_([a-z_0-9]+) .*"))) {
      names.insert(match[1]);
    }
  }
  std::string source = prelude;
  for (const std::string& name : names) source += fmt::format("cg:{0}:__NR_{0}\n", name);
  std::map<std::string, long> numbers;
  std::istringstream expanded(Compile("-E -P", source).output);
  for (std::string line; std::getline(expanded, line);) {
    if (!line.starts_with("cg:")) continue;
    const auto parts = Split(line, ':');
    long sum = 0;
    const std::regex number("0x[0-9a-fA-F]+|[0-9]+");
    for (std::sregex_iterator it(parts[2].begin(), parts[2].end(), number), end; it != end; ++it) {
      sum += std::stol(it->str(), nullptr, 0);
    }
    // "__NR_x" is left as it is where the header tests it but does not define it.
    if (!parts[2].starts_with("__NR_")) numbers[parts[1]] = sum;
  }
  return numbers;
}

void CompareNumbers(ArchId arch, const std::string& header) {
  const auto numbers = NumbersOf(header);
  ASSERT_GT(numbers.size(), 250U) << header;
  for (const auto& [name, nr] : numbers) {
    if (name == "syscalls" || name.starts_with("syscall_")) continue;  // a count, not a call
    const Syscall* call = FindSyscall(arch, name);
    ASSERT_NE(call, nullptr) << header << " " << name;
    EXPECT_EQ(call->nr, nr) << header << " " << name;
  }
  std::size_t absent = 0;
  for (const Syscall& call : SyscallsOf(arch)) absent += !numbers.contains(std::string(call.name));
  fmt::print("  {}: {} numbers compared, {} of the table's are not in <{}>\n", ArchOf(arch).name,
             numbers.size(), absent, header);
}

TEST(HostHeaders, NumbersAgree) {
  CompareNumbers(NativeArch(), "asm/unistd.h");
  if (NativeArch() == ArchId::kX86_64) {
    // One package holds the three.
    CompareNumbers(ArchId::kI386, "asm/unistd_32.h");
    CompareNumbers(ArchId::kX32, "asm/unistd_x32.h");
  }
}

// major << 16 | minor << 8, as in linux/version.h.
long HeaderVersion() {
  const auto output = Compile("-E -P", "#include <linux/version.h>\nLINUX_VERSION_CODE\n").output;
  return std::stol(output) & ~0xffL;
}

bool WasInHeadersOf(const Row& row, long version) {
  for (const std::string& listed : Split(row.at("in_headers"), '|')) {
    const auto parsed = ParseKernelVersion(listed);
    if (parsed && (parsed->major << 16 | parsed->minor << 8) <= version) return true;
  }
  return false;
}

TEST(HostHeaders, ConstantsAgree) {
  const long version = HeaderVersion();
  std::map<std::string, std::vector<Row>> by_header;
  for (const Row& row : ReadTable("constants.tsv")) {
    if (row.at("mode") == "uapi" && FindConstant(NativeArch(), row.at("name"), row.at("set"))) {
      by_header[row.at("header")].push_back(row);
    }
  }
  std::size_t compared = 0;
  std::size_t newer = 0;
  for (const auto& [header, rows] : by_header) {
    std::string source =
        "#include <stddef.h>\n#include <linux/ioctl.h>\n"
        "#include <linux/types.h>\n";
    bool all_installed = true;
    for (const std::string& one : Split(header, ' ')) {
      source += fmt::format("#if __has_include(<{0}>)\n#include <{0}>\n#endif\n", one);
      all_installed = all_installed && fs::exists(fs::path("/usr/include") / one);
    }
    // Line n of file "constants" asks for row n.
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string& name = rows[i].at("name");
      const std::uint64_t value = *FindConstant(NativeArch(), name, rows[i].at("set"));
      source += fmt::format(
          "#line {0} \"constants\"\n"
          "_Static_assert((unsigned long long)({1}) == {2:#x}ULL, \"differs\");\n",
          i + 1, name, value);
    }
    std::set<std::size_t> differ;
    std::set<std::size_t> unresolved;
    std::istringstream output(Compile("-fsyntax-only -w", source).output);
    const std::regex message("constants:([0-9]+):[0-9]+: error: (.*)");
    for (std::string line; std::getline(output, line);) {
      std::smatch match;
      if (std::regex_search(line, match, message)) {
        const std::size_t row = std::stoul(match[1]) - 1;
        (match[2].str().find("differs") != std::string::npos ? differ : unresolved).insert(row);
      } else if (line.find("error:") != std::string::npos) {
        ADD_FAILURE() << "<" << header << "> does not compile: " << line;
      }
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      // Sums over an enumeration or a structure, which grow with the kernel.
      static const std::set<std::string> kGrowing = {"IORING_OP_LAST", "MOVE_MOUNT__MASK",
                                                     "TCP_RESERVED_BITS"};
      EXPECT_FALSE(differ.contains(i) && !unresolved.contains(i) &&
                   !kGrowing.contains(rows[i].at("name")))
          << "<" << header << "> " << rows[i].at("name");
      if (!unresolved.contains(i)) {
        ++compared;
      } else if (all_installed && WasInHeadersOf(rows[i], version) &&
                 // Came to 6.1 with a stable release.
                 rows[i].at("name") != "IOPRIO_CLASS_INVALID") {
        ADD_FAILURE() << "<" << header << "> should define " << rows[i].at("name");
      } else {
        ++newer;
      }
    }
  }
  fmt::print("  {} constants of {} headers compared; {} are newer than the headers (Linux {}.{})\n",
             compared, by_header.size(), newer, version >> 16, version >> 8 & 0xff);
  EXPECT_GT(compared, 3000U);
}

// Events are named by kernel function; these differ from the call's name.
const std::map<std::string, std::string>& CallOfEvent() {
  static const std::map<std::string, std::string> names = {
      {"newfstat", "fstat"}, {"newlstat", "lstat"},      {"newstat", "stat"},
      {"newuname", "uname"}, {"sendfile64", "sendfile"}, {"umount", "umount2"},
  };
  return names;
}

std::string Canonical(std::string type) {
  type = std::regex_replace(type, std::regex("\\b(const|__user)\\b"), "");
  return std::regex_replace(type, std::regex("\\s+"), "");
}

// `arguments`: "int fd", "char * buf" …
bool CompareEvent(const std::string& event, const std::vector<std::string>& arguments) {
  const auto renamed = CallOfEvent().find(event);
  const std::string name = renamed == CallOfEvent().end() ? event : renamed->second;
  if (FindSyscall(ArchId::kX86_64, name) == nullptr)
    return false;  // i386's: no event of its own ABI
  const auto signature = SignatureOf(ArchId::kX86_64, name);
  if (!signature) {
    ADD_FAILURE() << "no signature of " << name;
    return true;
  }
  EXPECT_EQ(signature->size(), arguments.size()) << name;
  if (signature->size() != arguments.size()) return true;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::size_t space = arguments[i].rfind(' ');
    EXPECT_EQ((*signature)[i].name, arguments[i].substr(space + 1)) << name;
    const bool resolved_pair =
        (*signature)[i].name == "pos_l";  // two words joined by the generator
    if (!resolved_pair) {
      EXPECT_EQ(Canonical(std::string((*signature)[i].c_type)),
                Canonical(arguments[i].substr(0, space)))
          << name;
    }
  }
  return true;
}

TEST(Tracefs, RecordedFormatsAgree) {
  std::size_t compared = 0;
  std::vector<std::string> without;
  for (const Row& row : ReadTable("tracefs_x86_64_6.18.tsv")) {
    std::vector<std::string> arguments;
    for (std::string argument : Split(row.at("args (type name; …)"), ';')) {
      argument.erase(0, argument.find_first_not_of(' '));
      if (!argument.empty()) arguments.push_back(argument);
    }
    EXPECT_EQ(std::to_string(arguments.size()), row.at("nargs"));
    const std::string event = row.at("sys_entry").substr(std::strlen("sys_"));
    if (CompareEvent(event, arguments)) {
      ++compared;
    } else {
      without.push_back(event);
    }
  }
  fmt::print("  {} recorded formats compared\n", compared);
  EXPECT_THAT(without, ::testing::IsEmpty());
  EXPECT_EQ(compared, 360U);
}

bool IsReadable(const fs::path& folder) {
  std::error_code error;
  const fs::directory_iterator entries(folder, error);
  return !error && entries != fs::directory_iterator();
}

// The folder of the running kernel's syscall events. Where none is mounted and this process may
// mount, it mounts one in a mount namespace of its own. Empty, with the reason printed, otherwise.
fs::path LiveEvents() {
  for (const char* root : {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"}) {
    const fs::path events = fs::path(root) / "events/syscalls";
    if (IsReadable(events)) return events;
  }
  const char* const target = "/sys/kernel/tracing";
  if (::unshare(CLONE_NEWNS) != 0 ||
      ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tracefs", target, "tracefs", 0, nullptr) != 0) {
    fmt::print("  tracefs is not readable here: {}\n", std::strerror(errno));
    return {};
  }
  return fs::path(target) / "events/syscalls";
}

// RecordedFormatsAgree is the part that needs no rights; this one adds the running kernel.
TEST(Tracefs, FormatsOfTheRunningKernelAgree) {
  const fs::path events = LiveEvents();
  if (events.empty() || NativeArch() != ArchId::kX86_64) return;
  std::size_t compared = 0;
  for (const auto& entry : fs::directory_iterator(events)) {
    const std::string event = entry.path().filename();
    if (!event.starts_with("sys_enter_")) continue;
    std::ifstream format(entry.path() / "format");
    ASSERT_TRUE(format) << event;
    std::vector<std::string> arguments;
    bool after_number = false;
    const std::regex field(R"(\s*field:(.*[ *])(\w+);.*)");
    for (std::string line; std::getline(format, line);) {
      std::smatch match;
      if (!std::regex_match(line, match, field)) continue;
      const std::string name = match[2];
      // Newer kernels add copies of strings and buffers, named __…_val.
      if (after_number && !name.starts_with("__")) {
        arguments.push_back(fmt::format("{} {}", match[1].str(), name));
      }
      after_number = after_number || name == "__syscall_nr";
    }
    compared += CompareEvent(event.substr(std::strlen("sys_enter_")), arguments);
  }
  fmt::print("  {} formats of the running kernel compared\n", compared);
  EXPECT_GT(compared, 300U);
}

}  // namespace
}  // namespace callgate::abi
