#pragma once

#include "callgate/analysis.h"
#include "lint/subject.h"

namespace callgate {

// What lint looks at. Points into the subject.
lint::Source SourceOf(const Subject& subject);

}  // namespace callgate
