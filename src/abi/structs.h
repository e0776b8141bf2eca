#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "abi/arch.h"

namespace callgate::abi {

struct StructField {
  std::string_view name;  // dotted for nested: "sin_addr.s_addr"
  std::uint32_t offset;   // bytes
  std::uint32_t size;     // bytes
  std::string_view kind;  // the KIND vocabulary of data/README.md
  // Names the anonymous struct inside a union that the field belongs to ("MAP_CREATE" in bpf_attr);
  // empty for an ordinary field. Fields of different groups may share a name.
  std::string_view group;
};

// Fields of a structure on one ABI in memory order, empty if its layout there is not in the tables.
// Bit-fields have no address and are left out. Byte-order twins (armeb, mipsel, …) share their
// sibling's layouts except the ones that depend on byte order, which they do not have.
std::vector<StructField> FieldsOf(ArchId arch, std::string_view struct_name);
std::optional<std::uint32_t> SizeOfStruct(ArchId arch, std::string_view struct_name);

}  // namespace callgate::abi
