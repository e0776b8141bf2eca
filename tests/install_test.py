#!/usr/bin/env python3
"""Installs into a staged tree and builds the example against it, once through the CMake package and once through pkg-config;
both programs must print, and be refused when they open a file.

usage: install_test.py BUILD-DIR CXX
"""

import os
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
EXAMPLE = SOURCE / "examples" / "self_sandbox"
STDOUT = "printing works\n"
STDERR = "opening /etc/passwd: Operation not permitted\n"


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def check(program, libraries):
    # A leak check at the end would need calls that the program has given up.
    done = subprocess.run([program], capture_output=True, text=True,
                          env={**os.environ, "LD_LIBRARY_PATH": str(libraries), "ASAN_OPTIONS": "detect_leaks=0"})
    if (done.stdout, done.stderr) != (STDOUT, STDERR):
        sys.exit(f"{program} printed {done.stdout!r} and {done.stderr!r} (status {done.returncode})")


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

        run("cmake", "-G", "Ninja", "-S", EXAMPLE, "-B", out, f"-DCMAKE_PREFIX_PATH={stage}",
            f"-DCMAKE_CXX_COMPILER={compiler}", f"-DCMAKE_CXX_FLAGS={flags}")
        run("cmake", "--build", out)
        check(out / "self_sandbox", libraries)

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
            version = run(tool, "--version", env={**os.environ, "LD_LIBRARY_PATH": str(libraries)}).stdout
            if not version.startswith("callgate "):
                sys.exit(f"{tool} --version printed {version!r}")
    print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
