#pragma once

#include <string>

#include "callgate/error.h"

namespace callgate::cli {

// The drawing of a graph in Graphviz's language, as SVG, by the program dot(1). Error: it is not
// installed, or fails.
Result<std::string> DrawSvg(const std::string& graph);

}  // namespace callgate::cli
