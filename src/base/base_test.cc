#include <cerrno>

#include "base/diagnostic.h"
#include "base/error.h"
#include "base/nearest.h"
#include "base/source.h"
#include "gtest/gtest.h"

namespace callgate::base {
namespace {

TEST(SourceMap, CountsLinesAndCodePoints) {
  SourceMap sources;
  FileId file = sources.Add("a.cg", "read\nwrité: x\n");
  EXPECT_EQ(sources.PositionOf(file, 0), (Position{1, 1}));
  EXPECT_EQ(sources.PositionOf(file, 5), (Position{2, 1}));
  EXPECT_EQ(sources.PositionOf(file, 11), (Position{2, 6}));  // é is two bytes, one column
  EXPECT_EQ(sources.LineAt(file, 7), "writé: x");
  EXPECT_EQ(sources.Label(Span{}), "<built-in>");
}

TEST(Diagnostic, ShowsLineCaretAndNotes) {
  SourceMap sources;
  FileId file = sources.Add("app.cg", "default: kill\nopenat: flag has O_CREAT\n");
  Diagnostics diagnostics;
  diagnostics.Error({file, 22, 26}, "unknown argument 'flag' of openat").notes = {
      {"did you mean 'flags'?", {}}, {"the default is set here", {file, 0, 7}}};
  EXPECT_EQ(Render(diagnostics, sources, Color::kNo),
            "app.cg:2:9: error: unknown argument 'flag' of openat\n"
            "    openat: flag has O_CREAT\n"
            "            ^~~~\n"
            "  note: did you mean 'flags'?\n"
            "  app.cg:1:1: note: the default is set here\n"
            "    default: kill\n"
            "    ^~~~~~~\n");
}

TEST(Diagnostic, CutsLongLinesAroundTheCaretAndHidesControlBytes) {
  SourceMap sources;
  std::string text(300, 'x');
  text[200] = '\x1b';
  FileId file = sources.Add("long.cg", text);
  std::string out =
      Render(Diagnostic{Severity::kWarning, {file, 200, 201}, "here", {}}, sources, Color::kNo);
  std::string shown = "..." + std::string(60, 'x') + "?" + std::string(59, 'x');
  EXPECT_EQ(out,
            "long.cg:1:201: warning: here\n    " + shown + "\n" + std::string(67, ' ') + "^\n");
}

// The window was moved to the begin of the run of bytes that continue no character, out of sight of
// the caret, and rendering threw.
TEST(Diagnostic, LongRunOfStrayBytesIsCutLikeAnyLine) {
  SourceMap sources;
  const FileId file = sources.Add("t.s", "tax" + std::string(300, '\xab') + "?");
  const std::string text =
      Render(Diagnostic{Severity::kError, {file, 303, 304}, "here", {}}, sources, Color::kNo);
  EXPECT_EQ(text.substr(0, text.find('\n')), "t.s:1:4: error: here");
  EXPECT_NE(text.find("    ..." + std::string(64, '?') + "\n"), std::string::npos);
}

// C1 controls act on terminals as the escape sequences do that they stand for.
TEST(Diagnostic, CharactersThatActOrHideAreNotShown) {
  SourceMap sources;
  const FileId file = sources.Add("a.cg", "é\u009b31m\xff\u202edaer\u2066 x\n");
  EXPECT_EQ(Render(Diagnostic{Severity::kError, {file, 19, 20}, "here", {}}, sources, Color::kNo),
            "a.cg:1:14: error: here\n"
            "    é?31m??daer? x\n"
            "                 ^\n");
}

TEST(Diagnostics, StopsAtTheLimitAndCountsTheRest) {
  SourceMap sources;
  Diagnostics diagnostics;
  for (int i = 0; i < 105; ++i) diagnostics.Error({}, "bad");
  EXPECT_EQ(diagnostics.all().size(), Diagnostics::kMaxErrors);
  EXPECT_TRUE(Render(diagnostics, sources, Color::kNo).ends_with("... and 5 more errors\n"));
}

TEST(Diagnostics, SortedByPlaceReadFromTopToBottom) {
  Diagnostics diagnostics;
  diagnostics.Error({1, 3, 4}, "fourth");
  diagnostics.Warning({0, 9, 10}, "second");
  diagnostics.Error({0, 9, 12}, "third");
  diagnostics.Error({}, "first");
  diagnostics.SortByPlace();
  std::string order;
  for (const Diagnostic& diagnostic : diagnostics.all()) order += diagnostic.message + " ";
  EXPECT_EQ(order, "first second third fourth ");
}

TEST(Error, SaysWhatWhereWhyAndWhatToDo) {
  Error error{"install filter", "(4212 instructions)", 0, "the kernel's limit is 4096",
              "split the policy into layers"};
  EXPECT_EQ(error.ToString(),
            "cannot install filter (4212 instructions): the kernel's limit is 4096; split the "
            "policy into layers");
  EXPECT_EQ(ErrnoError("open", "app.cg", ENOENT).ToString(),
            "cannot open app.cg: No such file or directory");
}

TEST(NearestName, FindsSlipsAndNothingElse) {
  auto nearest = [](std::string_view name) {
    NearestName finder(name);
    for (const char* candidate : {"open", "openat", "openat2", "fdatasync", "read"}) {
      finder.Offer(candidate);
    }
    return finder.Best().value_or("");
  };
  EXPECT_EQ(nearest("opnat"), "openat");
  EXPECT_EQ(nearest("raed"), "read");
  EXPECT_EQ(nearest("fdatsync"), "fdatasync");
  EXPECT_EQ(nearest("zzzz"), "");
}

}  // namespace
}  // namespace callgate::base
