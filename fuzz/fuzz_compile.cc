// Any bytes as a policy's text, or as a decision graph: what compiles is proved to be what was
// asked for.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "analyse/compare.h"
#include "base/check.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "codegen/compile.h"
#include "graph/graph.h"
#include "policy/file_reader.h"
#include "policy/lower.h"
#include "policy/typecheck.h"

namespace callgate {
namespace {

void CheckCompile(graph::Graph source) {
  const base::Result<bpf::Program> program = codegen::Compile(source);
  // The only thing that a compile may fail for is size.
  if (!program) {
    CG_CHECK(program.error().operation == "compile filter");
    return;
  }
  CG_CHECK(analyse::CompareWithSource(source, *program).equal == analyse::Answer::kHolds);
}

void CheckText(std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  const policy::MemoryReader reader({});
  const auto typed = policy::ReadPolicyText("t.cg", std::move(text), reader, abi::ArchId::kX86_64,
                                            sources, diagnostics);
  if (typed) CheckCompile(policy::Lower(*typed));
}

// Twelve bytes a test: word and operator, mask, two earlier nodes, constant.
void CheckGraph(std::string_view bytes) {
  graph::Graph graph;
  std::vector<graph::NodeId> nodes;
  for (const abi::Action action :
       {abi::kAllow, abi::kKillProcess, abi::Action{abi::ActionKind::kErrno, 1}}) {
    nodes.push_back(graph.pool.Leaf(action));
  }
  constexpr std::size_t kMaxTests = 200;  // each run should take milliseconds
  for (; bytes.size() >= 12 && nodes.size() < kMaxTests; bytes.remove_prefix(12)) {
    std::uint32_t fields[3];
    std::memcpy(fields, bytes.data(), sizeof(fields));
    graph::Predicate predicate;
    predicate.word = static_cast<std::uint8_t>(fields[0] & 15);
    predicate.op = static_cast<graph::Op>(fields[0] >> 4 & 3);
    predicate.mask = (fields[0] & 64) != 0 ? UINT32_MAX : fields[1];
    predicate.constant = predicate.op == graph::Op::kAnyBit ? 0 : fields[2];
    auto earlier = [&](std::uint32_t distance) {
      return nodes[nodes.size() - 1 - distance % nodes.size()];
    };
    nodes.push_back(
        graph.pool.Test(predicate, earlier(fields[0] >> 8 & 0xfff), earlier(fields[0] >> 20)));
  }
  graph.root = nodes.back();
  CheckCompile(std::move(graph));
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'g') {
    callgate::CheckGraph(rest);
  } else {
    callgate::CheckText(std::string(reinterpret_cast<const char*>(data), size));
  }
  return 0;
}
