#include "abi/structs.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace callgate::abi {
namespace {

struct PackedField {
  std::uint16_t name, kind, offset, size, group;
};

struct PackedStruct {
  std::uint32_t arches;  // bit n: ArchId n
  std::uint16_t size;
  std::uint16_t name;
  std::uint16_t first;
  std::uint16_t count;
};

#include "abi/generated/structs.inc"

std::string_view Text(std::uint16_t offset) { return kTextPool + offset; }

// arch/arm/include/uapi/asm/stat.h and arch/mips/include/uapi/asm/msgbuf.h place fields by byte
// order; only the siblings of the twins were measured.
bool DependsOnByteOrder(std::string_view struct_name) {
  return struct_name == "stat" || struct_name == "msqid64_ds";
}

// Calls `visit` with each part of the structure on this ABI.
template <typename Visit>
void VisitLayouts(ArchId arch, std::string_view struct_name, Visit visit) {
  const ArchId tables = ArchOf(arch).tables;
  if (tables != arch && DependsOnByteOrder(struct_name)) return;
  const auto by_name = [](const PackedStruct& packed) { return Text(packed.name); };
  for (const PackedStruct& packed : std::ranges::equal_range(kStructs, struct_name, {}, by_name)) {
    if ((packed.arches >> static_cast<unsigned>(tables) & 1) != 0) visit(packed);
  }
}

}  // namespace

std::vector<StructField> FieldsOf(ArchId arch, std::string_view struct_name) {
  std::vector<const PackedField*> packed;
  VisitLayouts(arch, struct_name, [&](const PackedStruct& layout) {
    for (std::size_t i = 0; i < layout.count; ++i) packed.push_back(&kFields[layout.first + i]);
  });
  // Table order among the members of a union.
  std::ranges::sort(packed, {},
                    [](const PackedField* field) { return std::pair(field->offset, field); });
  std::vector<StructField> fields;
  fields.reserve(packed.size());
  for (const PackedField* field : packed) {
    fields.push_back(
        {Text(field->name), field->offset, field->size, Text(field->kind), Text(field->group)});
  }
  return fields;
}

std::optional<std::uint32_t> SizeOfStruct(ArchId arch, std::string_view struct_name) {
  std::optional<std::uint32_t> size;
  VisitLayouts(arch, struct_name, [&](const PackedStruct& layout) { size = layout.size; });
  return size;
}

}  // namespace callgate::abi
