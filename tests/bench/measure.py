"""What a server's whole process tree costs: CPU, memory, system calls; and what its machine can do."""
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time


def _cgroup_mount():
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        words = line.split()
        if words[2] == "cgroup2" and os.access(words[1], os.W_OK):
            return pathlib.Path(words[1])
    return None


class Tree:
    """The processes that were started while it was entered, and all their descendants.

    A control group where that can be made: it counts CPU in microseconds, ended processes included.  Else the roots are told, and what /proc says in ticks of 10 ms."""
    count = 0

    def __init__(self):
        self.roots, self.folder, self.approximate = [], None, False
        mount = _cgroup_mount()
        Tree.count += 1
        try:
            folder = mount / f"ekirei-bench-{os.getpid()}-{Tree.count}" if mount else None
            if folder:
                folder.mkdir()
                self.home, self.folder = mount / pathlib.Path("/proc/self/cgroup").read_text().rsplit("0::/", 1)[1].strip(), folder
        except OSError:
            pass

    def __enter__(self):
        if self.folder:
            (self.folder / "cgroup.procs").write_text(str(os.getpid()))
        return self

    def __exit__(self, *_):
        if self.folder:
            (self.home / "cgroup.procs").write_text(str(os.getpid()))

    def close(self):
        """Ends whatever is left of it."""
        for _ in range(50):
            left = self.pids() if self.folder else []
            if not left:
                break
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.1)
        if self.folder:
            self.folder.rmdir()
            self.folder = None

    def pids(self):
        if self.folder:
            return [int(line) for line in (self.folder / "cgroup.procs").read_text().split()]
        children = {}
        for pid, fields in _stats():
            children.setdefault(int(fields[1]), []).append(pid)
        found, waiting = [], list(self.roots)
        while waiting:
            found.append(waiting.pop())
            waiting += children.get(found[-1], [])
        return found

    def cpu(self):
        """Seconds, of ended processes too."""
        if self.folder:
            return int(re.search(r"usage_usec (\d+)", (self.folder / "cpu.stat").read_text())[1]) / 1e6
        wanted = set(self.pids())
        return sum(sum(map(int, fields[11:15])) for pid, fields in _stats() if pid in wanted) / os.sysconf("SC_CLK_TCK")

    def pss(self):
        """Octets: each process's own, and its part of what it shares; where only root may read that, what is resident and not shared."""
        total = 0
        for pid in self.pids():
            try:
                total += int(re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) * 1024
            except PermissionError:
                resident, shared = pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1:3]
                total += (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
                self.approximate = True
            except (OSError, TypeError):  # it has just ended
                continue
        return total


def _stats():
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            yield int(stat.parent.name), stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue


def slab():
    """Octets of the kernel's objects, of the whole machine."""
    return int(re.search(r"^Slab:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) * 1024


def switches():
    """Context switches of the whole machine since its start."""
    return int(re.search(r"^ctxt (\d+)", pathlib.Path("/proc/stat").read_text(), re.M)[1])


def calls(tree, seconds_before, run):
    """System calls by name while run() runs, under strace (which slows everything: batches are not those of a quick run).  None where strace may not."""
    with tempfile.NamedTemporaryFile("r", prefix="ekirei-strace-") as out:
        tracer = subprocess.Popen(["strace", "-c", "-f", "-o", out.name, *(word for pid in tree.pids() for word in ("-p", str(pid)))], stderr=subprocess.DEVNULL)
        try:
            time.sleep(seconds_before)
            if tracer.poll() is not None:
                return None
            run()
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
        counts = {}
        for line in out.read().splitlines():
            words = line.split()
            if len(words) >= 5 and words[3].isdigit() and words[-1] != "total":
                counts[words[-1]] = int(words[3])
        return counts


SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs")


def disk(folder="/var/tmp", seconds=1.0, group=64):
    """Synced 4 KiB writes a second: one after the other, and by `group` at once that share their syncs as the file system lets them."""
    def writer(number, end):
        path = os.path.join(folder, f"ekirei-bench-sync-{os.getpid()}-{number}")
        fd, count = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), 0
        try:
            while time.monotonic() < end:
                os.pwrite(fd, b"x" * 4096, 4096 * (count % 4096))
                os.fdatasync(fd)
                count += 1
        finally:
            os.close(fd)
            os.unlink(path)
        return count
    single = writer(0, time.monotonic() + seconds) / seconds
    with concurrent.futures.ThreadPoolExecutor(group) as threads:
        end = time.monotonic() + seconds
        grouped = sum(threads.map(lambda number: writer(number, end), range(group))) / seconds
    return single, grouped


def figures(text):
    """key=value of the generator's last line."""
    return {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", text.strip().splitlines()[-1])}


class Load:
    """The generator."""
    path = None

    @staticmethod
    def words(mode, **options):
        return [Load.path, mode, *(f"{key}={value}" for key, value in options.items())]

    @staticmethod
    def run(mode, **options):
        done = subprocess.run(Load.words(mode, **options), capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"load {mode}: {done.stderr.strip() or done.stdout.strip() or done.returncode}")
        return figures(done.stdout)


class Held:
    """Idle sessions, as long as it is entered: several generators, if one may not open so many."""

    def __init__(self, sessions, most, **options):
        self.processes, self.seconds = [], 0.0
        self.parts = [min(most, sessions - at) for at in range(0, sessions, most)]
        self.options = options

    def __enter__(self):
        try:
            for part in self.parts:
                self._hold(part)
        except BaseException:
            self.end()
            raise
        return self

    def _hold(self, part):
        process = subprocess.Popen(Load.words("idle", **self.options, sessions=part), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        line = process.stdout.readline()
        if not line.startswith("held="):
            raise RuntimeError(f"load idle: {process.stderr.read().strip() or 'no sessions'}")
        self.seconds += figures(line)["seconds"]

    def __exit__(self, *_):
        self.end()

    def end(self):
        """How many were still there at the end."""
        alive = 0
        for process in self.processes:
            line, error = process.communicate()
            alive += int(figures(line)["alive"]) if line.startswith("alive") else 0
            if error:
                print(f"bench: {error.strip()}", flush=True)
        self.processes = []
        return alive
