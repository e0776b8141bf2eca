#pragma once

#include <string_view>

namespace callgate::report {

// What every page has alike: page_parts.cc.
extern const std::string_view kStyle;
extern const std::string_view kScript;

}  // namespace callgate::report
