#pragma once

#include <span>
#include <string_view>

#include "cli/command_line.h"

namespace callgate::cli {

std::span<const Verb> AllVerbs();
// CG_CHECKs that the verb exists.
const Verb& VerbNamed(std::string_view name);

int RunAgent(const Arguments& arguments);
int RunAsm(const Arguments& arguments);
int RunCheck(const Arguments& arguments);
int RunImport(const Arguments& arguments);
int RunExport(const Arguments& arguments);
int RunFmt(const Arguments& arguments);
int RunCompile(const Arguments& arguments);
int RunDisasm(const Arguments& arguments);
int RunLint(const Arguments& arguments);
int RunReport(const Arguments& arguments);
int RunEval(const Arguments& arguments);
int RunExplain(const Arguments& arguments);
int RunDiff(const Arguments& arguments);
int RunProve(const Arguments& arguments);
int RunDecompile(const Arguments& arguments);
int RunShow(const Arguments& arguments);
int RunPlan(const Arguments& arguments);
int RunRun(const Arguments& arguments);
int RunDoctor(const Arguments& arguments);
int RunSyscalls(const Arguments& arguments);

}  // namespace callgate::cli
