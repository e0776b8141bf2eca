// From regions of words to calls with names.
//
// What the analysis finds are products of sets of words. People think of calls: so each region is
// read against the tables of the ABIs that matter here (this machine's, and those that either side
// tests for), and rows that say the same of one call are one row. Numbers without a name and ABIs
// that neither side speaks of become one row each, with a witness like the others.

#include "analyse/compare.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/syscalls.h"
#include "api/subject.h"
#include "base/check.h"
#include "callgate/analysis.h"
#include "graph/reach.h"
#include "policy/call_text.h"

namespace callgate {
namespace {

// Rows sort by these: kind, place of the ABI, number (unnamed ones last), actions.
using RowKey =
    std::tuple<Difference::Kind, std::size_t, std::uint64_t, std::uint32_t, std::uint32_t>;
constexpr std::uint64_t kEvery = UINT64_MAX - 1;
constexpr std::uint64_t kUnnamed = UINT64_MAX;

Answer ToPublic(analyse::Answer answer) {
  switch (answer) {
    case analyse::Answer::kHolds:
      return Answer::kHolds;
    case analyse::Answer::kFails:
      return Answer::kFails;
    case analyse::Answer::kUndecided:
      return Answer::kUndecided;
  }
  std::unreachable();
}

Difference::Kind ToPublic(analyse::DifferenceKind kind) {
  switch (kind) {
    case analyse::DifferenceKind::kLooser:
      return Difference::Kind::kLooser;
    case analyse::DifferenceKind::kTighter:
      return Difference::Kind::kTighter;
    case analyse::DifferenceKind::kOther:
      return Difference::Kind::kOther;
  }
  std::unreachable();
}

// This machine's ABIs, then the others that a test of either graph names.
std::vector<abi::ArchId> ArchesOf(const graph::Pool& pool,
                                  std::initializer_list<graph::NodeId> roots) {
  std::set<std::uint32_t> tested;
  for (const graph::NodeId root : roots) {
    for (const graph::NodeId id : graph::ReachableFrom(pool, root)) {
      const graph::Node& node = pool[id];
      if (!node.is_leaf && node.predicate.word == abi::kArchWord) {
        tested.insert(node.predicate.constant);
      }
    }
  }
  std::vector<abi::ArchId> arches = {abi::NativeArch()};
  std::ranges::copy(abi::CompatArches(abi::NativeArch()), std::back_inserter(arches));
  for (const abi::Arch& arch : abi::AllArches()) {
    const bool is_new = std::ranges::find(arches, arch.id) == arches.end();
    if (is_new && tested.contains(arch.audit_arch)) arches.push_back(arch.id);
  }
  return arches;
}

class Rows {
 public:
  Rows(const Subject::Impl& a, const Subject::Impl& b, const analyse::Product& product,
       std::vector<abi::ArchId> arches)
      : a_(a), b_(b), product_(product), arches_(std::move(arches)) {}

  void Add(const analyse::Difference& difference);
  std::vector<Difference> Take();

 private:
  void AddCalls(const analyse::Difference& difference, std::size_t arch_index);
  void AddRow(const analyse::Difference& difference, std::size_t arch_index, std::uint64_t number,
              std::string_view name, const abi::CallWords& witness);
  std::optional<std::uint32_t> UnnamedNumber(analyse::WordSets::Set numbers,
                                             const abi::Arch& arch) const;
  std::optional<std::uint32_t> OtherArch(analyse::WordSets::Set arches) const;

  const Subject::Impl& a_;
  const Subject::Impl& b_;
  const analyse::Product& product_;
  std::vector<abi::ArchId> arches_;
  std::map<RowKey, Difference> rows_;
};

void Rows::AddRow(const analyse::Difference& difference, std::size_t arch_index,
                  std::uint64_t number, std::string_view name, const abi::CallWords& witness) {
  const auto& words = difference.region.words;
  const bool every_argument = std::ranges::all_of(
      words.begin() + 2, words.end(),
      [](analyse::WordSets::Set set) { return set == analyse::WordSets::kAll; });
  const Difference::Kind kind = ToPublic(difference.kind);
  const RowKey key{kind, arch_index, number, analyse::EffectOf(difference.a_value),
                   analyse::EffectOf(difference.b_value)};
  const auto [row, is_new] = rows_.try_emplace(key);
  Difference& shown = row->second;
  if (!is_new && (shown.every_argument || !every_argument)) return;
  // Reasoning that the programs do not confirm would be a fault of the reasoning.
  const std::uint32_t a_value = a_.Run(witness);
  const std::uint32_t b_value = b_.Run(witness);
  CG_CHECK(analyse::EffectOf(a_value) == analyse::EffectOf(difference.a_value));
  CG_CHECK(analyse::EffectOf(b_value) == analyse::EffectOf(difference.b_value));

  shown.kind = kind;
  shown.arch = arch_index < arches_.size() ? abi::ArchOf(arches_[arch_index]).name : "other";
  shown.call = name;
  shown.every_argument = every_argument;
  shown.a_action = abi::RetValueToString(a_value);
  shown.b_action = abi::RetValueToString(b_value);
  const auto nr = static_cast<std::int32_t>(witness[abi::kNrWord]);
  const auto arch = abi::ArchOfCall(witness[abi::kArchWord], nr);
  const abi::Call call =
      abi::CallOf(witness, arch ? abi::ArchOf(*arch).endian : std::endian::native);
  shown.witness = {call.nr, call.arch, call.ip, {}};
  std::ranges::copy(call.args, std::begin(shown.witness.args));
  shown.witness_text = policy::FormatWitness(call, abi::NativeArch());
}

std::optional<std::uint32_t> Rows::UnnamedNumber(analyse::WordSets::Set numbers,
                                                 const abi::Arch& arch) const {
  // Where the number blocks of ABIs that share an AUDIT_ARCH begin (abi/arch.h).
  for (const std::uint32_t block : {0U, abi::kX32Bit, abi::kX32Last + 1}) {
    std::optional<std::uint32_t> number = product_.sets.Next(numbers, block);
    while (number &&
           abi::ArchOfCall(arch.audit_arch, static_cast<std::int32_t>(*number)) == arch.id) {
      if (abi::FindSyscall(arch.id, static_cast<std::int32_t>(*number)) == nullptr) return number;
      if (*number == UINT32_MAX) break;
      number = product_.sets.Next(numbers, *number + 1);
    }
  }
  return std::nullopt;
}

std::optional<std::uint32_t> Rows::OtherArch(analyse::WordSets::Set arches) const {
  auto is_listed = [&](std::uint32_t audit_arch) {
    return std::ranges::any_of(
        arches_, [&](abi::ArchId id) { return abi::ArchOf(id).audit_arch == audit_arch; });
  };
  for (const abi::Arch& arch : abi::AllArches()) {
    if (!is_listed(arch.audit_arch) && product_.sets.Contains(arches, arch.audit_arch)) {
      return arch.audit_arch;
    }
  }
  std::optional<std::uint32_t> value = product_.sets.Next(arches, 0);
  while (value && is_listed(*value)) value = product_.sets.Next(arches, *value + 1);
  return value;
}

void Rows::AddCalls(const analyse::Difference& difference, std::size_t arch_index) {
  const abi::Arch& arch = abi::ArchOf(arches_[arch_index]);
  const analyse::WordSets::Set numbers = difference.region.words[abi::kNrWord];
  abi::CallWords witness = difference.witness;
  witness[abi::kArchWord] = arch.audit_arch;
  auto differs = [&](const abi::Syscall& syscall) {
    return product_.sets.Contains(numbers, static_cast<std::uint32_t>(syscall.nr));
  };
  const std::span<const abi::Syscall> all = abi::SyscallsOf(arch.id);
  if (std::ranges::all_of(all, differs)) {
    witness[abi::kNrWord] = static_cast<std::uint32_t>(all.front().nr);
    AddRow(difference, arch_index, kEvery, "every call", witness);
    return;
  }
  for (const abi::Syscall& syscall : all) {
    if (!differs(syscall)) continue;
    const auto nr = static_cast<std::uint32_t>(syscall.nr);
    witness[abi::kNrWord] = nr;
    AddRow(difference, arch_index, nr, syscall.name, witness);
  }
  if (const auto unnamed = UnnamedNumber(numbers, arch)) {
    witness[abi::kNrWord] = *unnamed;
    AddRow(difference, arch_index, kUnnamed, "unnamed numbers", witness);
  }
}

void Rows::Add(const analyse::Difference& difference) {
  const analyse::WordSets::Set arches = difference.region.words[abi::kArchWord];
  for (std::size_t i = 0; i < arches_.size(); ++i) {
    if (product_.sets.Contains(arches, abi::ArchOf(arches_[i]).audit_arch)) {
      AddCalls(difference, i);
    }
  }
  if (const auto other = OtherArch(arches)) {
    abi::CallWords witness = difference.witness;
    witness[abi::kArchWord] = *other;
    AddRow(difference, arches_.size(), kEvery, "every call", witness);
  }
}

std::vector<Difference> Rows::Take() {
  std::vector<Difference> differences;
  for (auto& [key, row] : rows_) differences.push_back(std::move(row));
  return differences;
}

}  // namespace

Comparison Compare(const Subject& a, const Subject& b) {
  graph::Pool pool;
  const analyse::Lifted a_graph = a.impl().LiftInto(pool);
  const analyse::Lifted b_graph = b.impl().LiftInto(pool);
  const analyse::Comparison found =
      analyse::Compare(pool, a_graph, b_graph, analyse::Alike::kEffect);
  Comparison comparison;
  comparison.equal = ToPublic(found.equal);
  comparison.a_within_b = ToPublic(found.a_within_b);
  comparison.b_within_a = ToPublic(found.b_within_a);
  comparison.undecided = found.undecided;
  const std::vector<abi::ArchId> arches = ArchesOf(pool, {a_graph.root, b_graph.root});
  for (const abi::ArchId id : arches) comparison.arches.emplace_back(abi::ArchOf(id).name);
  Rows rows(a.impl(), b.impl(), found.product, arches);
  for (const analyse::Difference& difference : found.differences) rows.Add(difference);
  comparison.differences = rows.Take();
  return comparison;
}

}  // namespace callgate
