#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace callgate::policy {

// What a test looks at that no register holds: memory behind a pointer, or the object a path or a
// descriptor names. A filter sees none of it. The supervisor copies it once, decides on the copy,
// and performs the call with the copy, so that the decision and the effect are about one thing.
struct DeepSubject {
  enum class Kind : std::uint8_t {
    kPath,      // of the file a path names: absolute, links and `..` resolved, in the target's root
    kString,    // the bytes before the NUL
    kField,     // a number in a structure
    kFamily,    // of a socket address: the number
    kPort,      //   of AF_INET and AF_INET6
    kIp,        //   of AF_INET and AF_INET6
    kUnixPath,  //   of AF_UNIX: as kPath
    kAbstract,  //   of AF_UNIX: the name behind the leading NUL
    kDescriptor,  // the path of an open file
    kFileType,    // the type of an open file
    kElement,     // of a vector of strings (argv): the string at `offset`
    kCount,       //   how many strings
    kVariable,    // of a vector of NAME=VALUE (envp): the value of the one named `key`
  };

  Kind kind = Kind::kString;
  std::uint8_t slot = 0;       // the register with the pointer or the descriptor
  std::int8_t size_slot = -1;  // the register with the pointee's size; -1: none
  std::uint32_t offset = 0;    // kField: bytes; kElement: index
  std::uint32_t size = 0;
  std::uint32_t whole = 0;  // kField: size of the structure; 0: the caller says (size_slot)
  // Of the messages that the register points to, one after the other: kField of its msghdr, or of
  // the address in it. No such address: Absent.
  bool in_message = false;
  std::string name = {};  // as a policy writes it: "how.resolve"
  std::string key = {};   // kVariable
};

// An IPv4 address is held as the IPv6 address that maps it (::ffff:a.b.c.d), so that a network of
// either kind is 128 bits and a prefix, and an IPv4 address inside an IPv6 one is found.
using IpAddress = std::array<std::uint8_t, 16>;
IpAddress MappedIpv4(const std::array<std::uint8_t, 4>& address);
struct IpNetwork {
  IpAddress address{};
  std::uint8_t prefix = 128;

  bool Contains(const IpAddress& other) const;
};

// What was found. Absent: the thing has no such field (the port of an AF_UNIX address, an argument
// beyond the last one); every test of it is false, whatever its operator.
struct Absent {
  bool operator==(const Absent&) const = default;
};
using DeepValue = std::variant<Absent, std::uint64_t, std::string, IpAddress>;

struct DeepTest {
  enum class Match : std::uint8_t {
    kNumber,   // the expression's one child tests it: it stands in argument 0 there
    kEqual,    // one of texts
    kGlob,     // one of texts as pattern: `*` and `?` within a component, `**` across
    kUnder,    // one of texts or below it
    kNetwork,  // in one of networks
  };

  DeepSubject subject;
  Match match = Match::kEqual;
  bool negated = false;  // != and not in
  std::vector<std::string> texts = {};
  std::vector<IpNetwork> networks = {};
};

// Does the value pass a test that is not about a number?
bool Passes(const DeepTest& test, const DeepValue& value);
bool MatchesGlob(std::string_view pattern, std::string_view text);
bool IsUnder(std::string_view directory, std::string_view path);

}  // namespace callgate::policy
