// What a runtime says, and what else may come in its place.

#include "agent/container.h"

#include <gtest/gtest.h>

namespace callgate::agent {
namespace {

// As runc 1.1 sends it.
constexpr std::string_view kRunc =
    R"({"ociVersion":"1.0.2-dev","fds":["seccompFd"],"pid":4117,"metadata":"web","state":{)"
    R"("ociVersion":"1.0.2-dev","id":"c1","status":"creating","pid":4117,"bundle":"/b",)"
    R"("annotations":{"a":"b"}}})";

std::string ErrorOf(std::string_view state, std::size_t descriptors) {
  auto container = ReadContainer(std::string(state), descriptors);
  return container ? "" : container.error().ToString();
}

TEST(Container, IsReadAsRuncSendsIt) {
  auto container = ReadContainer(std::string(kRunc), 1);
  ASSERT_TRUE(container) << container.error().ToString();
  EXPECT_EQ(*container, (Container{.id = "c1", .metadata = "web", .listener = 0}));
}

TEST(Container, IsReadAsExecOfCrunSendsIt) {
  auto container = ReadContainer(
      R"({"ociVersion":"1.0","fds":["seccompFd"],"pid":0,"metadata":"",)"
      R"("state":{"ociVersion":"1.0","id":"c1","status":"running","pid":0,"bundle":"."}})",
      1);
  ASSERT_TRUE(container) << container.error().ToString();
  EXPECT_EQ(*container, (Container{.id = "c1", .metadata = "", .listener = 0}));
}

TEST(Container, ListenerIsFoundByItsName) {
  auto container = ReadContainer(R"({"fds":["other","seccompFd","third"],"state":{"id":"c1"}})", 3);
  ASSERT_TRUE(container) << container.error().ToString();
  EXPECT_EQ(container->listener, 1U);
}

TEST(Container, IsRefusedWithAReason) {
  struct Case {
    std::string_view state;
    std::size_t descriptors;
    std::string_view error;
  };
  constexpr Case kCases[] = {
      {"", 1,
       "cannot serve a container: the runtime's state, 0 bytes, is no JSON: 1:1: the file "
       "ends where a value should be"},
      {"{\"fds\":", 1,
       "cannot serve a container: the runtime's state, 7 bytes, is no JSON: 1:8: "
       "the file ends where a value should be"},
      {"\x7f"
       "ELF",
       1,
       "cannot serve a container: the runtime's state, 4 bytes, is no JSON: 1:1: "
       "expected a value"},
      {R"({"\n\u001b":1,"\n\u001b":1})", 1,
       "cannot serve a container: the runtime's state, 27 bytes, is no JSON: 1:15: the key "
       "\\\"\\n\\x1b\\\" is there twice"},
      {"[]", 1, "cannot serve a container: the runtime's state is no JSON object"},
      {"{}", 1, "cannot serve a container: the runtime's state has no \"state\" with an \"id\""},
      {R"({"state":{"id":""}})", 1,
       "cannot serve a container: the runtime's state has no \"state\" with an \"id\""},
      {R"({"state":{"id":7}})", 1,
       "cannot serve a container: the runtime's state has no \"state\" with an \"id\""},
      {R"({"state":{"id":"c"},"metadata":["web"]})", 1,
       "cannot serve container \"c\": \"metadata\" is no string"},
      {R"({"state":{"id":"c"}})", 1,
       "cannot serve container \"c\": the runtime's state has no list \"fds\""},
      {R"({"state":{"id":"c"},"fds":["seccompFd",1]})", 2,
       "cannot serve container \"c\": a name in \"fds\" is no string"},
      {R"({"state":{"id":"c"},"fds":[]})", 0,
       "cannot serve container \"c\": no descriptor came with the runtime's state"},
      {R"({"state":{"id":"c"},"fds":["seccompFd"]})", 2,
       "cannot serve container \"c\": \"fds\" has 1 names, and 2 descriptors came"},
      {R"({"state":{"id":"c"},"fds":["pidFd"]})", 1,
       "cannot serve container \"c\": \"fds\" must name \"seccompFd\" once"},
      {R"({"state":{"id":"c"},"fds":["seccompFd","seccompFd"]})", 2,
       "cannot serve container \"c\": \"fds\" must name \"seccompFd\" once"},
      {R"({"state":{"id":"\u001b[2J"},"fds":[]})", 0,
       "cannot serve container \"\\x1b[2J\": no descriptor came with the runtime's state"},
  };
  for (const Case& one : kCases) EXPECT_EQ(ErrorOf(one.state, one.descriptors), one.error);
}

TEST(Container, LongIdIsRefused) {
  const std::string id(kMaxId + 1, 'c');
  EXPECT_EQ(ErrorOf(R"({"fds":["seccompFd"],"state":{"id":")" + id + "\"}}", 1),
            "cannot serve a container: its id has 257 bytes, which is more than 256");
}

TEST(PolicyFile, IsNamedByPlainMetadataOnly) {
  EXPECT_EQ(PolicyFile(""), "default.cg");
  EXPECT_EQ(PolicyFile("web"), "web.cg");
  EXPECT_EQ(PolicyFile("Web_1.2-x"), "Web_1.2-x.cg");
  for (std::string_view bad :
       {".", "..", ".web", "a/b", "../web", "/etc/web", "web\n", "w b", "é"}) {
    EXPECT_EQ(PolicyFile(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(PolicyFile(std::string_view("web\0x", 5)), std::nullopt);
  EXPECT_EQ(PolicyFile(std::string(kMaxId + 1, 'w')), std::nullopt);
}

}  // namespace
}  // namespace callgate::agent
