#!/usr/bin/env python3
"""Installs into a staged tree and builds the examples against it, through the CMake package and through pkg-config; every
program must print, and be refused when it opens a file. Those with an embedded policy are built again after a change of a
file that the policy uses.

usage: install_test.py BUILD-DIR CXX
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
EXAMPLE = SOURCE / "examples" / "self_sandbox"
EMBEDDED = SOURCE / "examples" / "embedded"
STDOUT = "printing works\n"
SUPERVISOR = SOURCE / "examples" / "supervisor"
STDERR = "opening /etc/passwd: Operation not permitted\n"


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def check(program, libraries, stderr=STDERR):
    # A leak check at the end would need calls that the program has given up.
    done = subprocess.run([program], capture_output=True, text=True,
                          env={**os.environ, "LD_LIBRARY_PATH": str(libraries), "ASAN_OPTIONS": "detect_leaks=0"})
    if (done.stdout, done.stderr) != (STDOUT, stderr):
        sys.exit(f"{program} printed {done.stdout!r} and {done.stderr!r} (status {done.returncode})")


def check_supervisor(folder, configure):
    """Handlers in C++: one file allowed, one refused, one about which the handler throws."""
    out = folder / "supervisor-build"
    configure(SUPERVISOR, out)
    run("cmake", "--build", out)
    (folder / "notes").write_text("written\n")
    (folder / "x.so").write_text("?")
    done = subprocess.run([out / "supervisor", "cat", "notes", "/etc/shadow", "x.so"], capture_output=True, text=True,
                          cwd=folder, env={**os.environ, "LC_ALL": "C"})
    notes = (folder / "notes").resolve()
    if (done.returncode, done.stdout) != (1, f"written\n1 {notes}\n"):
        sys.exit(f"the supervisor printed {done.stdout!r} and {done.stderr!r} (status {done.returncode})")
    for words in ("cat: /etc/shadow: Permission denied", "(the handler: no secrets)",
                  "cat: x.so: Operation not permitted", "(the handler: it threw: what is this?)"):
        if words not in done.stderr:
            sys.exit(f"the supervisor did not say {words!r}: {done.stderr!r}")


def check_embedded(folder, libraries, configure):
    """callgate_embed_policy: the program alone and with the library, a changed policy, a broken one."""
    source, out = folder / "embedded", folder / "embedded-build"
    shutil.copytree(EMBEDDED, source)
    configure(source, out)
    run("cmake", "--build", out)
    check(out / "alone", libraries)
    check(out / "with_library", libraries)
    if "libcallgate" in run("readelf", "-d", out / "alone").stdout:
        sys.exit("the C program needs libcallgate")
    again = run("cmake", "--build", out).stdout
    if "no work to do" not in again:
        sys.exit(f"built again although nothing changed:\n{again}")

    used = source / "output.cg"
    used.write_text(used.read_text() + "openat\n")
    run("cmake", "--build", out)
    check(out / "alone", libraries, stderr="")
    check(out / "with_library", libraries, stderr="")

    used.write_text("wriet\n")
    broken = subprocess.run(["cmake", "--build", out], capture_output=True, text=True)
    if broken.returncode == 0 or "did you mean 'write'?" not in broken.stdout:
        sys.exit(f"a policy with an error was embedded:\n{broken.stdout}")


def check_pages(share):
    """Manual pages and completions are where man and the shells look for them."""
    expected = {share / "man" / f"man{page.suffix[1:]}" / page.name for page in (SOURCE / "man").iterdir()}
    expected |= {share / "bash-completion/completions/callgate", share / "zsh/site-functions/_callgate",
                 share / "fish/vendor_completions.d/callgate.fish"}
    found = {path for path in share.rglob("*") if path.is_file()}
    if found != expected:
        sys.exit("not installed, or installed without need:\n" + "\n".join(sorted(map(str, found ^ expected))))


def main():
    build, compiler = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    # A library built with sanitizers is used by a program built with them; but the vptr check makes calls
    # of its own, which the sandboxed program has given up.
    flags = next((line.split("=", 1)[1] for line in (build / "CMakeCache.txt").read_text().splitlines()
                  if line.startswith("CMAKE_CXX_FLAGS:")), "")
    flags += " -fno-sanitize=vptr" if "-fsanitize" in flags else ""
    with tempfile.TemporaryDirectory() as folder:
        stage, out = pathlib.Path(folder) / "stage", pathlib.Path(folder) / "example"
        run("cmake", "--install", build, "--prefix", stage)
        libraries = next(stage.rglob("libcallgate.so")).parent
        check_pages(stage / "share")

        def configure(source, target):
            run("cmake", "-G", "Ninja", "-S", source, "-B", target, f"-DCMAKE_PREFIX_PATH={stage}",
                f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_CXX_FLAGS={flags}")

        configure(EXAMPLE, out)
        run("cmake", "--build", out)
        check(out / "self_sandbox", libraries)
        check_embedded(pathlib.Path(folder), libraries, configure)
        check_supervisor(pathlib.Path(folder), configure)

        environment = {**os.environ, "PKG_CONFIG_PATH": str(libraries / "pkgconfig")}
        words = run("pkg-config", "--define-prefix", "--cflags", "--libs", "callgate", env=environment).stdout.split()
        program = pathlib.Path(folder) / "by-pkg-config"
        run(compiler, *flags.split(), EXAMPLE / "self_sandbox.cc", "-o", program, *words)
        check(program, libraries)

        exported = run("nm", "-DC", "--defined-only", libraries / "libcallgate.so").stdout.splitlines()
        foreign = [line for line in exported
                   if "callgate::" not in line and " A CALLGATE_0" not in line and "CALLGATE_0@@" not in line]
        if foreign:
            sys.exit("the shared object exports more than the API:\n" + "\n".join(foreign))
        for tool in (stage / "bin" / "callgate",):
            version = run(tool, "--version").stdout  # it finds its library by itself
            if not version.startswith("callgate "):
                sys.exit(f"{tool} --version printed {version!r}")
    print("6 passed, 0 failed")


if __name__ == "__main__":
    main()
