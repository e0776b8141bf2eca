// init_module and finit_module, of images that are no module: the kernel looks at who asks, and
// then at these. One that loads no modules says so to everybody.

#include <elf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

struct Text {
  const char* shown;
  const char* pointer;
};

std::vector<Text> Parameters() {
  static const std::string many(4000, 'x');
  return {{"none", nullptr},
          {"\"\"", ""},
          {"debug", "debug=1"},
          {"many", many.c_str()},
          {"BAD", kBadPointer}};
}

std::vector<Text> Images() {
  static Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_type = ET_REL;
  static std::string elf(4096, '\0');
  std::memcpy(elf.data(), &header, sizeof header);
  static const std::string text(4096, 't');
  return {{"none", nullptr},
          {"elf", elf.data()},
          {"text", text.data()},
          {"signed", "~Module signature appended~\n"},
          {"bad", kBadPointer}};
}

void ProbeImages() {
  for (const Text& image : Images()) {
    for (std::size_t size : {0U, 16U, 63U, 64U, 4096U, 1U << 20U}) {
      for (const Text& parameters : Parameters()) {
        Try(std::string("init_module(") + image.shown + " " + std::to_string(size) +
                ", parameters " + parameters.shown + ")",
            [&] { return syscall(SYS_init_module, image.pointer, size, parameters.pointer); });
      }
    }
  }
}

void ProbeFiles() {
  for (const DirFd& file : DirFds()) {
    for (long flags : {0L, 1L, 4L, 7L, 8L, -1L, 1L << 32}) {
      for (const Text& parameters : Parameters()) {
        Try(std::string("finit_module(") + file.shown + ", parameters " + parameters.shown + ", " +
                std::to_string(flags) + ")",
            [&] { return syscall(SYS_finit_module, file.fd, parameters.pointer, flags); });
      }
    }
  }
}

}  // namespace

void ProbeLoading(const std::string& call) {
  if (call == "init_module") ProbeImages();
  if (call == "finit_module") ProbeFiles();
}

}  // namespace callgate::conformance
