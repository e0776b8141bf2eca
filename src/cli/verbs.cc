#include "cli/verbs.h"

#include <algorithm>

#include "base/check.h"
#include "cli/exit_status.h"

namespace callgate::cli {
namespace {

constexpr Option kJson{"json", 0, "", "machine-readable output"};

constexpr Option kCheckOptions[] = {kJson};

constexpr Option kFmtOptions[] = {
    {"in-place", 'i', "", "rewrite the files instead of printing"},
    {"check", 0, "", "print nothing; exit 1 if a file is not in canonical form"},
};

constexpr Option kCompileOptions[] = {
    {"format", 'f', "FORMAT", "listing (default), raw, hex, c, json; dot, svg: the graph"},
    {"output", 'o', "FILE", "write there instead of to standard output"},
    {"name", 0, "NAME", "C identifier for -f c (default callgate_filter)"},
    {"fuse", 0, "", "several policies: one filter as strict as all of them together"},
    {"profile", 0, "FILE", "lines 'CALL COUNT': hot calls come first"},
    {"report", 0, "", "print what the filter costs; write it only with -o"},
    {"json", 0, "", "the report as JSON"},
    {"measure", 0, "", "report the time of installing it here too"},
    {"without", 0, "PASS,...", "leave out these passes"},
    {"dump-after", 0, "PASS", "print the decision graph after this pass; -f svg draws it"},
    {"depfile", 0, "FILE", "write the files that were read there, as a rule for make"},
};

constexpr Option kAsmOptions[] = {
    {"format", 'f', "FORMAT", "hex (default), listing, raw, c or json"},
    {"output", 'o', "FILE", "write there instead of to standard output"},
    {"name", 0, "NAME", "C identifier for -f c (default callgate_filter)"},
};

constexpr Option kEvalOptions[] = {kJson};

constexpr Option kExplainOptions[] = {
    {"last", 'l', "", "the denials of the last 'callgate run' that had any"},
    {"policy", 'p', "POLICY", "name the rule that decides, and the line that would allow the call"},
    kJson,
};

constexpr Option kLive{"live", 0, "", "try every witness on the running kernel too"};
constexpr Option kZ3{"z3", 0, "SECONDS", "ask the program z3 too, for that long at most"};

constexpr Option kDiffOptions[] = {kLive, kZ3, kJson};

constexpr Option kProveOptions[] = {
    {"never", 0, "CALL", "no call like this is ever allowed"},
    {"always", 0, "CALL", "every call like this is allowed"},
    {"subset-of", 0, "B", "SUBJECT is at least as strict as B on every call"},
    {"equal", 0, "B", "SUBJECT and B decide every call alike"},
    kLive,
    kZ3,
    kJson,
};
constexpr Option kPlanOptions[] = {kJson};

constexpr Option kShowOptions[] = {
    {"listing", 'l', "", "list the instructions of each filter instead"},
};

constexpr Option kExportOptions[] = {
    {"format", 'f', "FORMAT", "oci, docker, spo, firecracker, minijail, kafel or systemd"},
    {"output", 'o', "FILE", "write there instead of to standard output"},
    {"approximate", 0, "SIDE", "tighter or looser: write what comes nearest on that side"},
    {"name", 0, "NAME", "the Firecracker thread, SPO object or Kafel policy (default callgate)"},
    {"listener", 0, "PATH",
     "oci, docker: an agent there decides what needs a look, by policy NAME"},
};

constexpr Option kImportOptions[] = {
    {"format", 'f', "FORMAT",
     "oci, docker, spo, firecracker, minijail, kafel or systemd (default: found out)"},
    {"output", 'o', "FILE", "write there instead of to standard output"},
    {"arch", 'a', "NAME", "the machine the runtime would run on (default: this one's)"},
    {"name", 0, "NAME", "one filter of several: a Firecracker thread, an SPO object"},
    {"cap", 0, "LIST", "docker: the container's capabilities (default: Docker's)"},
    {"kernel", 0, "VERSION", "docker: the kernel's version (default: a new one)"},
    {"include", 0, "FOLDER", "minijail, kafel: look for included files there"},
};

constexpr Option kLintOptions[] = {
    {"severity", 's', "LEVEL", "exit 1 from this level on: info, warning (default) or error"},
    {"fix", 0, "", "mend in the policies what a machine can mend"},
    {"sarif", 0, "", "SARIF 2.1.0, for code review tools"},
    kJson,
};

constexpr Option kReportOptions[] = {
    {"output", 'o', "FILE", "write there instead of to standard output"},
};

constexpr Option kRunOptions[] = {
    {"no-supervisor", 0, "", "the kernel enforces alone: no reports, nothing stays behind"},
    {"status-fd", 0, "N", "write JSON lines to descriptor N: started, denied, exited"},
    {"audit-fd", 0, "N", "write JSON lines to descriptor N: every call the supervisor decides"},
    {"notify-fd", 0, "N", "ask the handler at stream socket N what 'notify' leaves to it"},
    {"json", 0, "", "report denials as JSON lines instead of text"},
};

constexpr Option kAgentOptions[] = {
    {"json", 0, "", "report as JSON lines instead of text"},
};

constexpr Option kDoctorOptions[] = {kJson};

constexpr Option kSyscallsOptions[] = {
    {"arch", 'a', "NAME", "tables of this ABI (default: this machine's)"},
    {"groups", 'g', "", "list the groups instead"},
    kJson,
};

constexpr Verb kVerbs[] = {
    {"run", "run a program under a policy and say what was denied", "POLICY... -- COMMAND [ARG...]",
     "Runs COMMAND so that it may do only what every POLICY allows. Needs neither root\n"
     "nor user namespaces. Enforcement starts after the exec, so a policy need not\n"
     "allow what it takes to start the program. Denied calls are reported on standard\n"
     "error with the rule that denied them and the line that would allow them.\n"
     "\n"
     "Exits as COMMAND does; 125 if callgate fails, 126 if COMMAND cannot be executed,\n"
     "127 if it is not found.",
     kRunOptions, RunRun, kOwnFailure},
    {"agent", "decide the calls that containers' profiles notify", "SOCKET FOLDER",
     "The seccomp agent of OCI runtimes: listens on SOCKET, the listenerPath of profiles\n"
     "with SCMP_ACT_NOTIFY, and decides the notified calls of each container by the\n"
     "policy FOLDER/NAME.cg, where NAME is the profile's listenerMetadata, or\n"
     "FOLDER/default.cg where it has none. Allowed calls that need a look are performed\n"
     "for the container; denied calls are reported on standard error. A container that\n"
     "cannot be served is refused: its notified calls fail.\n"
     "\n"
     "Ends by SIGTERM or SIGINT, then exits 0; 125 if it cannot serve at all.",
     kAgentOptions, RunAgent, kOwnFailure},
    {"check", "is this policy well formed?", "POLICY...",
     "Reads each POLICY ('-' is standard input) and prints every error and warning\n"
     "with its place, source line and a hint. Exits 0 if there is no error, else 2.",
     kCheckOptions, RunCheck, kBadInput},
    {"fmt", "print a policy in canonical form", "POLICY...",
     "Prints each POLICY ('-' is standard input) in canonical form; comments stay.\n"
     "Formatting twice changes nothing.",
     kFmtOptions, RunFmt, kBadInput},
    {"compile", "compile a policy to a seccomp filter", "POLICY...",
     "Writes the filter of POLICY ('-' is standard input). 'raw' is the array of\n"
     "struct sock_filter that seccomp(2) and 'bwrap --seccomp' take. Every filter is\n"
     "proved to decide as the policy does before it is written.\n"
     "\n"
     "The passes, in order: simplify, hoist, masks, share-runs, search, tidy, sink-arch, layout.",
     kCompileOptions, RunCompile, kBadInput},
    {"eval", "what does a policy say about one call?", "SUBJECT CALL...",
     "Prints the verdict of SUBJECT for each CALL, the rule that gives it, and the path\n"
     "through the compiled filter. SUBJECT is a policy, one that 'import' reads, a filter\n"
     "as 'compile' writes it, or 'pid:41', what process 41 is under; '-' is standard\n"
     "input. A CALL is written 'openat(AT_FDCWD, *, O_RDONLY)':\n"
     "names or numbers, '*' for any value, missing arguments are '*'; 'i386.open(...)'\n"
     "for another ABI. Exits 0 if every CALL is allowed, 1 if one is not, 3 if a\n"
     "wildcard decides.",
     kEvalOptions, RunEval, kBadInput},
    {"asm", "assemble a seccomp filter", "FILE",
     "Reads filter assembly from FILE ('-' is standard input): a listing as 'compile'\n"
     "and 'disasm' print it, or what the kernel's bpf_asm takes, one instruction a\n"
     "line. The program is checked as the kernel would check it before it is written.",
     kAsmOptions, RunAsm, kBadInput},
    {"disasm",
     "list a seccomp filter",
     "FILE",
     "Lists the filter in FILE ('-' is standard input), written by 'compile' or 'asm'\n"
     "in the format raw, hex or json, or by another tool. Behind each instruction\n"
     "stands what it means for a call. Exits 0, or 1 if the kernel would refuse it.",
     {},
     RunDisasm,
     kBadInput},
    {"explain", "what do the kernel's records of denied calls mean?", "[LOG | CALL]...",
     "Reads lines of the kernel's or the audit daemon's log from each LOG, or from\n"
     "standard input, and tells every call that a filter denied, killed for or logged\n"
     "(records of type 1326): which program, which call, what the filter did, how often.\n"
     "Records have no arguments, so with a policy the rule may depend on them.\n"
     "With --last no log is read: the reports of the last 'callgate run' are printed\n"
     "again, and with a policy what it says of them now. For CALLs, which need a policy,\n"
     "it prints what 'callgate eval' does.",
     kExplainOptions, RunExplain, kBadInput},
    {"diff", "did this change loosen a policy?", "A B",
     "Compares two policies or filters over every possible call and prints where they\n"
     "differ, each time with a witness: a call that both have been run on. LOOSER and\n"
     "TIGHTER say how B decides. A and B may each be a policy, one that 'import' reads,\n"
     "a filter as 'compile' writes it, or 'pid:41', what process 41 is under; '-' is\n"
     "standard input.\n"
     "\n"
     "Exits 0 if B is a subset of A (for every call at least as strict), 1 if B allows\n"
     "or softens something, 3 if that cannot be decided.",
     kDiffOptions, RunDiff, kBadInput},
    {"prove", "can this call ever be allowed? is this as strict as that?", "SUBJECT",
     "Proves statements about SUBJECT, a policy, a filter as 'compile' writes it, or\n"
     "'pid:41', what process 41 is under, over every possible call. A CALL is written as\n"
     "for 'eval'; its arguments are what the kernel reads: socket(40) is\n"
     "socket(0x100000028) too.\n"
     "\n"
     "Exits 0 if all statements hold, 1 if one does not (a witness is printed), 3 if one\n"
     "cannot be decided.",
     kProveOptions, RunProve, kBadInput},
    {"decompile",
     "turn a seccomp filter back into a policy",
     "FILE",
     "Prints a policy that decides every call as the filter in FILE does, which is\n"
     "proved before it is printed. FILE ('-' is standard input) is a filter as 'compile'\n"
     "or another tool writes it. A filter that does what no policy says is refused with\n"
     "the reason. Exits 1 if numbers without a name are an exception, which is said in a\n"
     "comment.",
     {},
     RunDecompile,
     kBadInput},
    {"show", "what filters is this live process under?", "PID",
     "Reads the seccomp filters of a process and prints one policy that decides every\n"
     "call as all of them together do. The process is stopped for a moment. Needs\n"
     "CAP_SYS_ADMIN.",
     kShowOptions, RunShow, kBadInput},
    {"import", "turn another program's policy into a callgate policy", "FILE",
     "Prints the policy of FILE ('-' is standard input), which decides every call as\n"
     "the format's own runtime would. What was assumed, and what a policy cannot hold,\n"
     "is noted on standard error and on top of the policy. Exits 2 if any part of FILE\n"
     "is not understood.",
     kImportOptions, RunImport, kBadInput},
    {"export", "write a policy in another program's format", "POLICY",
     "Writes POLICY ('-' is standard input) in FORMAT, reads it back as the format's\n"
     "runtime would, and compares every call. What FORMAT cannot say is listed, and\n"
     "nothing is written unless --approximate allows it. Numbers that no kernel has and\n"
     "other ABIs than the policy's are the runtime's to decide; that is noted.",
     kExportOptions, RunExport, kBadInput},
    {"plan", "which layer keeps each rule, and how soundly", "POLICY...",
     "Prints for each rule of POLICY ('-' is standard input) what has to be looked at\n"
     "before each clause decides, and who decides: the filter in the kernel, or the\n"
     "supervisor of 'callgate run'; how it performs what it allows, what that costs\n"
     "and what it guarantees. Exits 0 if a filter alone keeps the policy, 1 if it\n"
     "needs the supervisor.",
     kPlanOptions, RunPlan, kBadInput},
    {"lint", "the mistakes experts look for", "FILE...",
     "Looks for mistakes in policies and filters ('-' is standard input): filters in\n"
     "the formats raw, hex, json and listing, by whatever tool; 'pid:41' is what process\n"
     "41 is under. Each finding has an id, which callgate-lint(7) explains, and a call\n"
     "that shows it. A comment in the policy, '# lint: allow CG0501 REASON', suppresses\n"
     "one.\n"
     "\n"
     "Exits 0 if there is no finding of the level, 1 if there is, 2 if a FILE is bad.",
     kLintOptions, RunLint, kBadInput},
    {"report", "a policy or filter as a page for people", "A [B]",
     "Writes one self-contained HTML page about the policy or filter A ('-' is standard\n"
     "input, 'pid:41' what process 41 is under): every call by group with its verdict,\n"
     "argument rules in words, what lint finds, which calls the kernel runs the filter\n"
     "for. With B, every difference between the two with a call that shows it.",
     kReportOptions, RunReport, kBadInput},
    {"doctor", "what of callgate works on this machine", "",
     "Probes the kernel and this process's rights, and says what each gap means and\n"
     "what to do about it. Exits 0 if 'callgate run' works here, else 1.",
     kDoctorOptions, RunDoctor, kBadInput},
    {"syscalls", "the tables: calls, arguments, groups", "[NAME|@GROUP]...",
     "Lists system calls with number, arguments, and the kernel they appeared in.",
     kSyscallsOptions, RunSyscalls, kBadInput},
};

}  // namespace

std::span<const Verb> AllVerbs() { return kVerbs; }

const Verb& VerbNamed(std::string_view name) {
  const auto* verb = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                  [&](const Verb& candidate) { return candidate.name == name; });
  CG_CHECK(verb != std::end(kVerbs));
  return *verb;
}

}  // namespace callgate::cli
