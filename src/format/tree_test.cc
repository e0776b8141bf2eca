// JSON and YAML that means harm or nothing: one error, with its place, and an end in time.

#include "format/tree.h"

#include <gtest/gtest.h>

#include "fmt/format.h"

namespace callgate::format {
namespace {

std::string Repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

struct Outcome {
  bool ok;
  std::string messages;
};

Outcome Json(std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add("t.json", std::move(text));
  bool ok = ReadJson(sources, file, diagnostics).has_value();
  return {ok, base::Render(diagnostics, sources, base::Color::kNo)};
}

Outcome Yaml(std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add("t.yaml", std::move(text));
  bool ok = ReadYaml(sources, file, diagnostics).has_value();
  return {ok, base::Render(diagnostics, sources, base::Color::kNo)};
}

TEST(Json, ValuesKeepTheirTextAndPlace) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add(
      "t.json", " {\"a\": [1, -2.5e3, true, null], \"b\\u00e9\\ud83d\\ude00\": \"x\\ny\"} ");
  auto tree = ReadJson(sources, file, diagnostics);
  ASSERT_TRUE(tree);
  const Tree* list = tree->Find("a");
  ASSERT_NE(list, nullptr);
  ASSERT_EQ(list->items.size(), 4U);
  EXPECT_EQ(list->items[1].text, "-2.5e3");
  EXPECT_EQ(sources.text(list->items[1].span), "-2.5e3");
  EXPECT_EQ(list->items[2].kind, Tree::Kind::kBool);
  EXPECT_EQ(list->items[3].kind, Tree::Kind::kNull);
  const Tree* text = tree->Find("bé😀");
  ASSERT_NE(text, nullptr);
  EXPECT_EQ(text->text, "x\ny");
}

struct BadCase {
  const char* text;
  const char* first_line;
};

TEST(Json, WhatIsNoJsonIsAnErrorWithItsPlace) {
  const BadCase cases[] = {
      {"", "t.json:1:1: error: the file ends where a value should be"},
      {"{\"a\": ", "t.json:1:7: error: the file ends where a value should be"},
      {"{\"a\": 1", "t.json:1:8: error: the file ends where ',' or '}' should be"},
      {"[1, 2", "t.json:1:6: error: the file ends where ',' or ']' should be"},
      {"[1,]", "t.json:1:4: error: expected a value"},
      {"{\"a\" 1}", "t.json:1:6: error: expected ':'"},
      {"{a: 1}", "t.json:1:2: error: expected a key in quotes"},
      {"{\"a\": 1,\n \"a\": 2}", "t.json:2:2: error: the key \"a\" is there twice"},
      {"{} {}", "t.json:1:4: error: there is text behind the end of the JSON value"},
      {"[01]", "t.json:1:2: error: a JSON number does not begin with 0"},
      {"[1.]", "t.json:1:4: error: expected a digit"},
      {"[1e]", "t.json:1:4: error: expected a digit"},
      {"[-]", "t.json:1:2: error: expected a value"},
      {"\"abc", "t.json:1:1: error: this string is never closed"},
      {"\"a\nb\"", "t.json:1:3: error: a control character in a string"},
      {"\"\\q\"", "t.json:1:2: error: unknown escape in a string"},
      {"\"\\u12\"", "t.json:1:2: error: \\u wants four hexadecimal digits"},
      {"\"\\ud800\"", "t.json:1:2: error: half a surrogate pair"},
      {"\"\\ud800\\u0041\"", "t.json:1:2: error: half a surrogate pair"},
      {"nul", "t.json:1:1: error: expected a value"},
      {"// c\n{}", "t.json:1:1: error: expected a value"},
  };
  for (const BadCase& c : cases) {
    Outcome outcome = Json(c.text);
    EXPECT_FALSE(outcome.ok) << c.text;
    EXPECT_EQ(outcome.messages.substr(0, outcome.messages.find('\n')), c.first_line) << c.text;
  }
}

TEST(Json, NestingAndSizeHaveLimits) {
  EXPECT_TRUE(Json(Repeat("[", 60) + Repeat("]", 60)).ok);
  Outcome deep = Json(Repeat("[", 100'000));
  EXPECT_FALSE(deep.ok);
  EXPECT_EQ(deep.messages.substr(0, deep.messages.find('\n')),
            "t.json:1:66: error: values are nested more than 64 deep");
  Outcome many = Json("[" + Repeat("0,", 600'000) + "0]");
  EXPECT_FALSE(many.ok);
  EXPECT_EQ(many.messages.substr(0, many.messages.find('\n')),
            "t.json:1:1048576: error: the file holds more than 524288 values");
}

TEST(Yaml, DocumentsBecomeTrees) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file =
      sources.Add("t.yaml", "---\na: 40\nb: \"40\"\nc: [x, true]\n---\n---\nd: e\n");
  auto trees = ReadYaml(sources, file, diagnostics);
  ASSERT_TRUE(trees);
  ASSERT_EQ(trees->size(), 2U);
  EXPECT_EQ(trees->front().Find("a")->kind, Tree::Kind::kNumber);
  EXPECT_EQ(trees->front().Find("b")->kind, Tree::Kind::kString);
  EXPECT_EQ(trees->front().Find("c")->items[1].kind, Tree::Kind::kBool);
  EXPECT_EQ(sources.text(trees->front().Find("a")->span), "40");
}

// Nine aliases of nine aliases of …: ten lines that stand for 3.5 billion values.
TEST(Yaml, BombIsRefusedWhileItIsCopied) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    bomb += fmt::format("a{0}: &a{0} [{1}]\n", i, Repeat(fmt::format("*a{}, ", i - 1), 9));
  }
  Outcome outcome = Yaml(bomb);
  EXPECT_FALSE(outcome.ok);
  EXPECT_NE(outcome.messages.find("error: the file holds more than 524288 values, aliases counted"),
            std::string::npos)
      << outcome.messages;
}

// yaml-cpp gives an endless row of empty documents for it.
TEST(Yaml, CommaWhereADocumentBegins) {
  EXPECT_EQ(Yaml(",\n").messages,
            "t.yaml:1:1: error: no value begins like this\n"
            "    ,\n"
            "    ^\n");
  EXPECT_FALSE(Yaml("a: 1\n---\n]\n").ok);
}

TEST(Yaml, WhatCannotBeReadIsAnErrorWithItsPlace) {
  Outcome open = Yaml("a: [1, 2\nb: 3\n");
  EXPECT_FALSE(open.ok);
  EXPECT_TRUE(open.messages.starts_with("t.yaml:2:")) << open.messages;
  Outcome twice = Yaml("a: 1\nb: 2\na: 3\n");
  EXPECT_FALSE(twice.ok);
  EXPECT_TRUE(twice.messages.starts_with("t.yaml:3:1: error: the key \"a\" is there twice"))
      << twice.messages;
  EXPECT_FALSE(Yaml("? [a, b]\n: c\n").ok);
  EXPECT_FALSE(Yaml("a: *nothing\n").ok);
  EXPECT_FALSE(Yaml(Repeat("[", 5000)).ok);
  EXPECT_FALSE(Yaml(Repeat("[", 100) + Repeat("]", 100)).ok);
}

}  // namespace
}  // namespace callgate::format
