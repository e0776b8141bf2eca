// bpf, those of its commands that are performed: maps and programs that are made, and the paths
// they are kept under. Natively only the privileged may; the others see in which order they are
// refused.

#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

// The attributes of a newer kernel than the one whose header this is, and more than any has.
// (To empty a bpf_attr empties its first member alone.)
union Attributes {
  std::uint8_t all[424] = {};
  bpf_attr known;

  void Set(std::size_t at, std::uint32_t value) { std::memcpy(all + at, &value, sizeof value); }
};

constexpr std::size_t kWhole = 168;

long Make(int command, const Attributes& attributes, std::size_t size) {
  return syscall(SYS_bpf, command, &attributes, size);
}

std::uint64_t AddressOf(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

Attributes MapOf(std::uint32_t type, std::uint32_t key, std::uint32_t value, std::uint32_t flags) {
  Attributes attributes;
  attributes.known.map_type = type;
  attributes.known.key_size = key;
  attributes.known.value_size = value;
  attributes.known.max_entries = 4;
  attributes.known.map_flags = flags;
  return attributes;
}

void ProbeMaps() {
  for (std::uint32_t type : {0U, 1U, 2U, 5U, 9U, 12U, 22U, 27U, 99U}) {
    for (std::uint32_t key : {0U, 4U, 5U}) {
      for (std::uint32_t value : {0U, 4U}) {
        for (std::uint32_t flags : {0U, 1U, 8U, 1U << 15U, 1U << 16U, 1U << 31U}) {
          Try(
              "map(" + std::to_string(type) + " " + std::to_string(key) + " " +
                  std::to_string(value) + ", " + std::to_string(flags) + ")",
              [&] { return Make(BPF_MAP_CREATE, MapOf(type, key, value, flags), kWhole); }, true);
        }
      }
    }
  }
  for (std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{20}, std::size_t{72}, kWhole,
                           std::size_t{300}, std::size_t{5000}, std::size_t{1} << 32U}) {
    for (std::size_t at : {std::size_t{0}, std::size_t{92}, std::size_t{160}, std::size_t{200}}) {
      Try(
          "map(size " + std::to_string(size) + ", more " + std::to_string(at) + ")",
          [&] {
            Attributes attributes = MapOf(BPF_MAP_TYPE_ARRAY, 4, 4, 0);
            if (at != 0) attributes.Set(at, 1);
            return Make(BPF_MAP_CREATE, attributes, size);
          },
          true);
    }
  }
  for (const char* bad : {static_cast<const char*>(nullptr), kBadPointer}) {
    for (long size : {0L, 4L, 168L, 5000L, (1L << 32) + 72}) {
      Try("map(bad " + std::to_string(size) + ")",
          [&] { return syscall(SYS_bpf, BPF_MAP_CREATE, bad, size); });
    }
  }
  // Descriptors: an inner map, types, a token.
  for (int fd : {999, directory_fd, -1}) {
    for (std::size_t at : {std::size_t{20}, std::size_t{48}, std::size_t{72}, std::size_t{76}}) {
      for (std::uint32_t flags : {0U, 1U << 15U, 1U << 16U}) {
        Try(
            "map(fd " + std::to_string(fd) + " at " + std::to_string(at) + ", " +
                std::to_string(flags) + ")",
            [&] {
              Attributes attributes =
                  MapOf(at == 20 ? BPF_MAP_TYPE_ARRAY_OF_MAPS : BPF_MAP_TYPE_HASH, 4, 4, flags);
              if (at == 48) attributes.known.btf_value_type_id = 1;
              attributes.Set(at, static_cast<std::uint32_t>(fd));
              return Make(BPF_MAP_CREATE, attributes, kWhole);
            },
            true);
      }
    }
  }
  Try(
      "map(of maps)",
      [&] {
        const auto inner =
            static_cast<int>(Make(BPF_MAP_CREATE, MapOf(BPF_MAP_TYPE_ARRAY, 4, 4, 0), kWhole));
        Attributes attributes = MapOf(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 0);
        attributes.Set(20, static_cast<std::uint32_t>(inner));
        const long result = Make(BPF_MAP_CREATE, attributes, kWhole);
        const int error = errno;
        if (inner >= 0) close(inner);
        errno = error;
        return result;
      },
      true);
}

using Instructions = std::vector<bpf_insn>;

constexpr bpf_insn kZero{BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 0};
constexpr bpf_insn kExit{BPF_JMP | BPF_EXIT, 0, 0, 0, 0};

// r1 = what `immediate` stands for.
Instructions Loading(unsigned what, int immediate) {
  bpf_insn load{BPF_LD | BPF_IMM | BPF_DW, BPF_REG_1, 0, 0, immediate};
  load.src_reg = what & 0xFU;
  return {load, {}, kZero, kExit};
}

struct Program {
  const char* shown;
  Instructions instructions;
  bool is_alike = true;  // whatever is written about it: no addresses, no numbers of descriptors
};

// `map`: a descriptor of one.
std::vector<Program> Programs(int map) {
  return {{"zero", {kZero, kExit}},
          {"endless", {kZero}},
          {"nothing", {}},
          {"unset", {kExit}},
          {"number", Loading(0, 4711)},
          {"map", Loading(BPF_PSEUDO_MAP_FD, map), false},
          {"value", Loading(BPF_PSEUDO_MAP_VALUE, map), false},
          {"no map", Loading(BPF_PSEUDO_MAP_FD, 999), false},
          {"file", Loading(BPF_PSEUDO_MAP_FD, directory_fd), false},
          {"types", Loading(BPF_PSEUDO_BTF_ID, 0), false},
          {"indexed", Loading(BPF_PSEUDO_MAP_IDX, 0)},
          {"half", {Loading(BPF_PSEUDO_MAP_FD, map).front()}}};
}

struct Log {
  std::uint32_t level, size;
  bool has_buffer;
};

// The result, and what was told besides: the text, behind which the kernel leaves what it had
// written before.
long Load(Attributes attributes, const Log& log, bool tells, std::size_t whole = kWhole) {
  char text[4096];
  std::memset(text, 'z', sizeof text);
  attributes.known.log_level = log.level;
  attributes.known.log_size = log.size;
  if (log.has_buffer) attributes.known.log_buf = AddressOf(text);
  const long result = Make(BPF_PROG_LOAD, attributes, whole);
  const int error = errno;
  std::size_t sum = 0;
  for (char c : std::string_view(text, strnlen(text, sizeof text)))
    sum = sum * 31 + static_cast<unsigned char>(c);
  std::uint32_t size = 0;
  std::memcpy(&size, attributes.all + 140, sizeof size);
  if (tells) std::printf("log %zu of %u ", sum, size);
  errno = error;
  return result;
}

void ProbePrograms() {
  const auto map =
      static_cast<int>(Make(BPF_MAP_CREATE, MapOf(BPF_MAP_TYPE_ARRAY, 4, 4, 0), kWhole));
  static const std::string long_license(200, 'G');
  const char* licenses[] = {"GPL", "", nullptr, kBadPointer, long_license.c_str()};
  for (const Program& program : Programs(map)) {
    for (std::uint32_t type : {0U, 1U, 3U, 999U}) {
      for (const char* license : licenses) {
        for (const Log& log :
             {Log{0, 0, false}, Log{1, 4096, true}, Log{2, 64, true}, Log{0, 4096, true},
              Log{1, 4096, false}, Log{1, 0, true}, Log{1, ~0U, true}, Log{99, 4096, true}}) {
          Try(
              std::string("program(") + program.shown + " " + std::to_string(type) + ", " +
                  std::to_string(log.level) + " " + std::to_string(log.size) + ")",
              [&] {
                Attributes attributes;
                attributes.known.prog_type = type;
                attributes.known.insns = AddressOf(program.instructions.data());
                attributes.known.insn_cnt = static_cast<std::uint32_t>(program.instructions.size());
                attributes.known.license = AddressOf(license);
                return Load(attributes, log, program.is_alike);
              },
              true);
        }
      }
    }
  }
  const Instructions zero = {kZero, kExit};
  for (std::size_t at = 4; at < 200; at += 4) {
    // Not those that are never performed: a device, an array of descriptors, a signature.
    if (at == 64 || (at >= 120 && at < 128) || at == 148 || (at >= 152 && at < 160)) continue;
    for (std::uint32_t value : {1U, 999U, 1U << 31U}) {
      Try(
          "program(attribute " + std::to_string(at) + " = " + std::to_string(value) + ")",
          [&] {
            Attributes attributes;
            attributes.known.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
            attributes.known.insns = AddressOf(zero.data());
            attributes.known.insn_cnt = static_cast<std::uint32_t>(zero.size());
            attributes.known.license = AddressOf("GPL");
            attributes.Set(at, value);
            return Load(attributes, {0, 0, false}, false);
          },
          true);
    }
  }
  // Sizes that end within a pointer, or before what is told.
  for (std::size_t size = 0; size <= kWhole; size += 4) {
    for (std::uint32_t level : {0U, 1U}) {
      Try(
          "program(size " + std::to_string(size) + ", " + std::to_string(level) + ")",
          [&] {
            Attributes attributes;
            attributes.known.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
            attributes.known.insns = AddressOf(zero.data());
            attributes.known.insn_cnt = static_cast<std::uint32_t>(zero.size());
            attributes.known.license = AddressOf("GPL");
            return Load(attributes, {level, level * 4096, level != 0}, true, size);
          },
          true);
    }
  }
  if (map >= 0) close(map);
}

void ProbeNames() {
  const auto map =
      static_cast<int>(Make(BPF_MAP_CREATE, MapOf(BPF_MAP_TYPE_ARRAY, 4, 4, 0), kWhole));
  for (int command : {BPF_OBJ_PIN, BPF_OBJ_GET}) {
    for (const Path& path : Paths()) {
      for (int fd : {0, map, 999, directory_fd}) {
        if (command == BPF_OBJ_GET && fd != 0 && fd != 999) continue;
        for (std::uint32_t flags : {0U, 8U, 1U << 14U, 1U << 30U}) {
          Try(
              std::string(command == BPF_OBJ_PIN ? "pin(" : "get(") + path.Show() + ", " +
                  std::to_string(flags) + ")",
              [&] {
                Attributes attributes;
                attributes.known.pathname = AddressOf(path.get());
                attributes.known.bpf_fd = static_cast<std::uint32_t>(fd);
                attributes.known.file_flags = flags;
                if (flags == 1U << 14U)
                  attributes.Set(16, static_cast<std::uint32_t>(directory_fd));
                return Make(command, attributes, kWhole);
              },
              command == BPF_OBJ_GET);
        }
      }
    }
  }
  if (map >= 0) close(map);
}

}  // namespace

void ProbeBpf(const std::string& call) {
  if (call != "bpf") return;
  ProbeMaps();
  ProbePrograms();
  ProbeNames();
}

}  // namespace callgate::conformance
