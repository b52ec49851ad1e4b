#!/usr/bin/env python3
"""Three analyzers over everything that is in the program: gcc -fanalyzer, clang-tidy (.clang-tidy says what is asked), cppcheck.

    analyze.py BUILD-GCC BUILD-CLANG [gcc|clang-tidy|cppcheck]...

The folders need to be configured only, not built.  An exception is argued in its line: NOLINT(check): reason, or cppcheck-suppress id; reason.  Exit 1 where one of
them finds anything.  Tests are compiled with all warnings and run under the sanitizers, but not analyzed."""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What cppcheck is told and not asked:
#   -ULOG         __VA_OPT__ is unknown to it: LOG stays a call, of which cppcheck.cfg tells
#   resourceLeak  it does not see that scoped_fd closes
#   readdirCalled, getpw...Called   glibc's readdir is safe for streams of one thread each; users and groups are looked up by the first thread, alone
CPPCHECK = ["--enable=warning,performance,portability", "--inline-suppr", "--std=c11", "--quiet", "--error-exitcode=1", "--template={file}:{line}: {severity}: {message} [{id}]",
            "--library=posix,openssl,libcurl,sqlite3", f"--library={ROOT}/tools/cppcheck.cfg", "-ULOG",
            *(f"--suppress={name}" for name in ("missingIncludeSystem", "*:/usr/include/*", "resourceLeak", "readdirCalled", "getpwnamCalled", "getpwuidCalled", "getgrgidCalled"))]


def is_ours(file):
    name = os.path.basename(file)
    return file.startswith(str(ROOT / "src")) and not re.search(r"_test\.c$|^test_|contract|^(fault|pass)_vfs", name)


def commands(build):
    rows = {}
    for row in json.loads((pathlib.Path(build) / "compile_commands.json").read_text()):
        file = os.path.realpath(os.path.join(row["directory"], row["file"]))
        if is_ours(file):
            rows.setdefault(file, row)
    if not rows:
        sys.exit(f"analyze: {build} knows no source file: run `meson setup {build}`")
    return rows


def run(words, folder):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def gcc(row):
    words = shlex.split(row["command"])
    out = words.index("-o")
    words[out:out + 2] = ["-o", "/dev/null", "-S", "-fanalyzer", "-Werror"]
    words = [word for word in words if word not in ("-MD",) and not word.startswith("-fdiagnostics")]
    for flag in ("-MQ", "-MF"):
        if flag in words:
            at = words.index(flag)
            del words[at:at + 2]
    return run(words, row["directory"])


def tidy(build):
    return lambda row: run(["clang-tidy", "-p", build, "--quiet", os.path.join(row["directory"], row["file"])], ROOT)


def cppcheck(row):
    words = shlex.split(row["command"])
    flags = [word for word in words if word.startswith(("-I", "-D")) and not word.startswith("-D_FORTIFY")]
    return run(["cppcheck", *CPPCHECK, *flags, os.path.join(row["directory"], row["file"])], row["directory"])


def each(name, rows, analyze):
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, (code, text) in zip(rows, pool.map(analyze, rows.values())):
            if code != 0:
                failed += 1
                lines = [line for line in text.splitlines() if line.strip() and "warnings generated" not in line and "warnings treated" not in line]
                print(f"---- {name}: {os.path.relpath(file, ROOT)}", *lines, sep="\n", flush=True)
    print(f"analyze: {name}: {len(rows)} files, {failed or 'none'} with findings", flush=True)
    return failed


def main():
    build_gcc, build_clang, *wanted = sys.argv[1:]
    tools = {"gcc": (build_gcc, gcc), "clang-tidy": (build_clang, tidy(build_clang)), "cppcheck": (build_gcc, cppcheck)}
    wanted = wanted or list(tools)
    for name in wanted:
        if name not in tools or not shutil.which(name):
            sys.exit(f"analyze: there is no {name} here; `tools/deps.sh analyze` installs gcc, clang-tidy and cppcheck")
    return 1 if sum([each(name, commands(tools[name][0]), tools[name][1]) for name in wanted]) else 0


if __name__ == "__main__":
    sys.exit(main())
