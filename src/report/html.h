#pragma once

#include <string>

#include "report/model.h"

namespace callgate::report {

// One self-contained page: no address is fetched, and a content security policy says so. Reads
// without JavaScript, which only searches. The same model gives the same bytes.
std::string WritePage(const Model& model);

}  // namespace callgate::report
