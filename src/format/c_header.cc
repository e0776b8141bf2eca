#include "format/c_header.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"

namespace callgate::format {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

// C17 6.4.1 and C++23 [lex.key], sorted. Words that begin with an underscore and a capital are not
// listed: the implementation owns all of those, and they are legal to write.
constexpr std::string_view kKeywords[] = {"alignas",
                                          "alignof",
                                          "and",
                                          "and_eq",
                                          "asm",
                                          "auto",
                                          "bitand",
                                          "bitor",
                                          "bool",
                                          "break",
                                          "case",
                                          "catch",
                                          "char",
                                          "char16_t",
                                          "char32_t",
                                          "char8_t",
                                          "class",
                                          "co_await",
                                          "co_return",
                                          "co_yield",
                                          "compl",
                                          "concept",
                                          "const",
                                          "const_cast",
                                          "consteval",
                                          "constexpr",
                                          "constinit",
                                          "continue",
                                          "decltype",
                                          "default",
                                          "delete",
                                          "do",
                                          "double",
                                          "dynamic_cast",
                                          "else",
                                          "enum",
                                          "explicit",
                                          "export",
                                          "extern",
                                          "false",
                                          "float",
                                          "for",
                                          "friend",
                                          "goto",
                                          "if",
                                          "inline",
                                          "int",
                                          "long",
                                          "mutable",
                                          "namespace",
                                          "new",
                                          "noexcept",
                                          "not",
                                          "not_eq",
                                          "nullptr",
                                          "operator",
                                          "or",
                                          "or_eq",
                                          "private",
                                          "protected",
                                          "public",
                                          "register",
                                          "reinterpret_cast",
                                          "requires",
                                          "restrict",
                                          "return",
                                          "short",
                                          "signed",
                                          "sizeof",
                                          "static",
                                          "static_assert",
                                          "static_cast",
                                          "struct",
                                          "switch",
                                          "template",
                                          "this",
                                          "thread_local",
                                          "throw",
                                          "true",
                                          "try",
                                          "typedef",
                                          "typeid",
                                          "typename",
                                          "union",
                                          "unsigned",
                                          "using",
                                          "virtual",
                                          "void",
                                          "volatile",
                                          "wchar_t",
                                          "while",
                                          "xor",
                                          "xor_eq"};
static_assert(std::ranges::is_sorted(kKeywords));

}  // namespace

bool IsCIdentifier(std::string_view name) {
  return !name.empty() && IsLetter(name.front()) &&
         std::ranges::all_of(name, [](char c) { return IsLetter(c) || IsDigit(c); }) &&
         !std::ranges::binary_search(kKeywords, name);
}

std::string EncodeCHeader(bpf::ProgramView program, std::string_view name) {
  CG_CHECK(IsCIdentifier(name) && !program.empty());
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), Upper);
  std::string text = fmt::format(
      "/* A seccomp filter, written by callgate. Load it with seccomp(2) as struct sock_fprog\n"
      "   {{{0}_LENGTH, (struct sock_filter *){1}}}. */\n"
      "#ifndef {0}_H\n"
      "#define {0}_H\n"
      "\n"
      "#include <linux/filter.h>\n"
      "\n"
      "#define {0}_LENGTH {2}\n"
      "\n"
      "static const struct sock_filter {1}[{0}_LENGTH] = {{\n",
      upper, name, program.size());
  // The comma stands before each but the first: C89 has none behind the last.
  for (std::string_view separator = "    "; const bpf::Instruction& i : program) {
    text += fmt::format("{}{{{:#06x}, {}, {}, {:#010x}u}}", separator, i.code, i.jt, i.jf, i.k);
    separator = ",\n    ";
  }
  return text + "\n};\n\n#endif\n";
}

}  // namespace callgate::format
