#include "api/lint.h"
#include "api/subject.h"
#include "callgate/report.h"
#include "report/html.h"
#include "report/model.h"

namespace callgate {

std::string HtmlReport(const Subject& a, const Subject* b) {
  const report::Source first{a.name(), SourceOf(a)};
  if (b == nullptr) return report::WritePage(report::MakeModel(first, nullptr));
  const report::Source second{b->name(), SourceOf(*b)};
  return report::WritePage(report::MakeModel(first, &second));
}

}  // namespace callgate
