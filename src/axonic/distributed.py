"""Several processes, on one machine or many, that train one network together.

Every process runs the same program on the same data with the same seed. What they share is the work of the training
loop: each has its part of the rows of every batch (`axonic.data.batches`), the sums over all rows are added up between
them (`axonic.objective`), and so all have the same weights at every step and come to the same decisions. What only one
of them can know, whether its user or its clock has ended the fit, is agreed on (`agreed`). The first one writes the run
directory and shows progress; the others do as it does in a folder that they take away again (`own_folder`).

JAX's distributed runtime connects them. Its coordination service, in the first process, notices within
`HEARTBEAT_SECONDS` that a process no longer answers and aborts all the others, which would leave nothing but a stack
trace: the abort is caught, what waits to be written is written, one line says which process was lost, and the exit code
is `LOST`. A process that ends by itself says so, and why, under a key of that service. One that is alive but does not
get on, as behind a disk that hangs, is found by the others, who see how far each has come.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NoReturn

from axonic.errors import InputError

LOST = 3
"""Exit code of a process whose run has lost another one."""
COORDINATOR = "127.0.0.1:8476"
RESOLVE_SECONDS, JOIN_SECONDS, HEARTBEAT_SECONDS, FINISH_SECONDS = 30, 120, 10, 24 * 3600
"""How long a process waits for the name of the first one to be known, and for the others to start; after which one that
does not answer is lost; and how long the others wait for the first one to evaluate and write down what they have
trained."""
HEARING_SECONDS = 0.2
"""How long Ctrl-C may go unheard while networks are trained side by side."""
LOOK_SECONDS, STUCK_SECONDS = 2.0, 300.0
"""From one look at what the others say to the next, and how long one may be behind the others in a fit."""
ENDED, BEGUN = "axonic/ended/", "axonic/begun/"
RESUME = "start all processes again, with axonic resume and the run directory"
_NOISE = re.compile(
    r"\[Gloo\]|[IWEF]\d{4} [\d:.]+ +\d+ |    @ +0x|\*\*\* Check failure|RPC: /|Additional GRPC|:UNKNOWN:|\d+$|$"
    r"|The tasks have crashed|The following tasks|Disable Python buffering"
)

_joined: "_Joined | None" = None


def join(coordinator: str | None, processes: int | None, process: int | None, *, cluster: bool = False) -> None:
    """Meet the other processes; to be called before JAX has begun to compute.

    Parameters
    ----------
    coordinator : HOST:PORT at which the first process listens, on that address alone; None is `COORDINATOR`, which
        other machines can't reach.
    processes : how many there are.
    process : which one this is, counted from 0.
    cluster : what is None is asked of the cluster: SLURM, Open MPI, Kubernetes, cloud TPUs, whatever JAX recognises.

    Raises
    ------
    InputError : the values can't be, the cluster tells nothing, or not all processes have come within `JOIN_SECONDS`.
    """
    global _joined
    if not cluster:
        coordinator = coordinator or COORDINATOR
        if processes is None or process is None:
            missing = "--processes" if processes is None else "--process-id"
            raise InputError(f"{missing} is missing", "give both --processes and --process-id, or --distributed")
    if coordinator is not None and not _is_address(coordinator):
        raise InputError(f"{coordinator!r} is no address", "give HOST:PORT, such as 10.0.0.1:8476", "--coordinator")
    if processes is not None and processes < 1:
        raise InputError(f"{processes} processes are impossible", "give at least 1", "--processes")
    if process is not None and not 0 <= process < (processes or process + 1):
        raise InputError(f"there is no process {process}", f"count from 0 to {(processes or 1) - 1}", "--process-id")
    if coordinator is not None:
        _try_address(coordinator, listens=process == 0)
    import jax

    joining = _Joined(process)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process,
            cluster_detection_method=None if cluster else "deactivate",
            initialization_timeout=JOIN_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            shutdown_timeout_seconds=FINISH_SECONDS,
            coordinator_bind_address=os.environ.get("JAX_COORDINATOR_BIND_ADDRESS") or coordinator,
        )
    except (ValueError, RuntimeError) as error:
        what = "the cluster does not tell how many processes there are" if cluster else "the processes can't meet"
        what, where = f"{what}: {' '.join(str(error).split())[:200]}", "--distributed" if cluster else ""
        raise InputError(what, "give --coordinator, --processes and --process-id", where) from error
    if jax.process_count() > 1:
        joining.meet(jax.process_index(), jax.process_count())
        _joined = joining


def _is_address(text: str) -> bool:
    return re.fullmatch(r".+:\d{1,5}", text) is not None and 1 <= int(text.rsplit(":", 1)[1]) <= 65535


def _try_address(address: str, listens: bool) -> None:
    """Raise `InputError` if an address is none, or this process is to listen at it and can't: JAX would crash."""
    host, port = address.rsplit(":", 1)
    host, begun = host.strip("[]"), time.monotonic()
    try:
        while True:
            try:
                family, *_, place = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
                break
            except socket.gaierror:
                if listens or time.monotonic() - begun > RESOLVE_SECONDS:
                    raise
                time.sleep(1)  # in a cluster a name may come a little later than the processes
        if listens:
            socket.create_server(place[:2], family=family).close()
    except OSError as error:
        what = "can't listen there" if listens else "no such host"
        what += f": {getattr(error, 'strerror', None) or error}"
        how = "give an address of the machine of process 0, with a port that is free"
        raise InputError(what, how, f"--coordinator {address}") from error


def count() -> int:
    """How many processes there are."""
    return 1 if _joined is None else _joined.count


def index() -> int:
    """Which of them this one is, counted from 0."""
    return 0 if _joined is None else _joined.index


def side_by_side(
    function: Callable[[Any], Any], of: Iterable[Any], give_up: Callable[[], Any] = lambda: None
) -> list[Any]:
    """`function` of each, in threads: as many at a time as there are processors, but one where there are several
    processes, which all must do the same in the same order.

    Parameters
    ----------
    function, of : what to compute, of what.
    give_up : called if one of them raises, or the whole is interrupted (Ctrl-C): those under way should end soon.

    Raises
    ------
    What the first of them raises that does.
    """
    with ThreadPoolExecutor(1 if _joined is not None else os.cpu_count() or 1) as pool:
        try:
            futures = [pool.submit(function, each) for each in of]
            waiting = set(futures)
            while waiting:
                # a wait without end would not hear Ctrl-C: polars has system calls begin again after a signal
                done, waiting = wait(waiting, HEARING_SECONDS, FIRST_COMPLETED)
                for each in done:
                    each.result()
        except BaseException:
            give_up()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def agreed(flag: bool) -> bool:
    """Whether it is so in any process. All of them have to ask."""
    if _joined is None:
        return flag
    import numpy as np
    from jax.experimental import multihost_utils

    with _joined.waiting():
        return bool(np.any(multihost_utils.process_allgather(np.array([flag]))))


def from_first(content: bytes) -> bytes:
    """What the first process has given. All of them have to ask."""
    if _joined is None:
        return content
    import numpy as np
    from jax.experimental import multihost_utils

    array = np.frombuffer(content, np.uint8)
    with _joined.waiting():
        size = int(multihost_utils.broadcast_one_to_all(np.array([len(array)]))[0])
        array = array if _joined.index == 0 else np.zeros(size, np.uint8)
        return np.asarray(multihost_utils.broadcast_one_to_all(array)).tobytes()


def added(number: int) -> int:
    """The sum of the numbers that the processes have, modulo 2^64. All of them have to ask."""
    if _joined is None:
        return number % (1 << 64)
    import numpy as np
    from jax.experimental import multihost_utils

    own = np.frombuffer((number % (1 << 64)).to_bytes(8, "little"), np.uint8)
    with _joined.waiting():
        every = np.asarray(multihost_utils.process_allgather(own))
    return sum(int.from_bytes(each.tobytes(), "little") for each in every) % (1 << 64)


@contextlib.contextmanager
def own_folder(path: Path, *, copied: bool) -> Iterator[Path]:
    """The folder that this process writes what belongs to `path`: the first one `path` itself, each of the others one
    that it takes away again; `copied` with the files of the first one's."""
    if _joined is None or _joined.index == 0:
        if copied and _joined is not None:
            for name in sorted(_files(path)):
                from_first(name.encode())
                from_first((path / name).read_bytes())
            from_first(b"")
        yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="axonic-"))
    at_end(remove := lambda: shutil.rmtree(folder, ignore_errors=True))
    try:
        while copied and (name := from_first(b"").decode()):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(from_first(b""))
        yield folder
    finally:
        remove()


def _files(path: Path) -> list[str]:
    return [str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()] if path.is_dir() else []


def at_end(action: Callable[[], Any]) -> None:
    """What is to be done if this process has to leave at once, because another one was lost."""
    if _joined is not None:
        _joined.actions.append(action)


@contextlib.contextmanager
def training() -> Iterator[Callable[[], None]]:
    """While a network is trained: gives what is to be called as each tape begins."""
    if _joined is None:
        yield lambda: None
        return
    with _joined.waiting():
        yield _joined.begin


def part(error: BaseException | None = None, code: int = 0) -> None:
    """Leave the others at the end of a run, or end with the error that has ended it, and this exit code."""
    if _joined is None:
        return
    if error is None:
        import jax

        _joined.stop_looking()
        with contextlib.suppress(RuntimeError):
            jax.distributed.shutdown()
    else:
        _joined.end(" ".join(str(error).split()) or type(error).__name__, code)


def judge(error: BaseException) -> None:
    """If an error is that of a connection to another process, leave with what JAX will know in a moment of who was
    lost; otherwise do nothing."""
    connection = re.search("Gloo|NCCL|UNAVAILABLE|ABORTED|DEADLINE|coordination", str(error))
    if _joined is not None and isinstance(error, ValueError | RuntimeError) and connection:
        time.sleep(2 * HEARTBEAT_SECONDS)
        _joined.leave("the connection to another process has failed")


class _Joined:
    """What this process knows of the others.

    Attributes
    ----------
    index, count : as the functions of the module; until they have met the count is 0.
    actions : what is to be done before leaving.
    begun, since : how often this process has begun what all do together, a tape or an agreement, and when the last
        time was; None while it is on its own.
    """

    def __init__(self, index: int | None) -> None:
        self.index, self.count = index or 0, 0
        self.client: Any = None
        self.actions: list[Callable[[], Any]] = []
        self.begun, self.since, self.parting = 0, None, threading.Event()
        self.ends_with: int | None = None
        self.said = _relay()
        self.leaving = threading.Lock()
        self._on_abort = ctypes.CFUNCTYPE(None, ctypes.c_int)(lambda number: self.aborted())
        if os.name == "posix":  # a handler that Python sets would run after the abort
            ctypes.CDLL(None).signal(signal.SIGABRT, self._on_abort)

    def meet(self, index: int, count: int) -> None:
        """All are there."""
        from jax._src import distributed

        self.index, self.count = index, count
        self.client = distributed.global_state.client
        self.looking = threading.Thread(target=self._look, daemon=True)
        self.looking.start()

    def stop_looking(self) -> None:
        """The run is over, and others may go."""
        self.parting.set()
        self.looking.join(LOOK_SECONDS)  # it must not ask a client that is no more

    def begin(self) -> None:
        """What all do together begins."""
        self.begun, self.since = self.begun + 1, time.monotonic()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """While the others are needed."""
        self.begin()
        try:
            yield
        finally:
            self.since = None

    def aborted(self) -> None:
        """JAX aborts this process; what it has said tells why."""
        if self.ends_with is not None:
            os._exit(self.ends_with)
        time.sleep(0.2)  # until that has been read
        said = "".join(self.said[-100:])
        if self.count == 0:
            self.leave(_unmet(said), "start all of them, each with a --process-id of its own", 2)
        self.leave(_lost(self.index, said))

    def leave(self, what: str, how: str = RESUME, code: int = LOST) -> NoReturn:
        """Do what is to be done, say what has happened and end."""
        if not self.leaving.acquire(blocking=False):
            time.sleep(60)  # another thread is about to
        if not self.parting.is_set():
            for action in self.actions:
                with contextlib.suppress(BaseException):
                    action()
        print(f"error: {what}: {how}", file=sys.stderr, flush=True)
        os._exit(code)

    def end(self, why: str, code: int) -> NoReturn:
        """Let the others know that this process ends, and why."""
        self.ends_with = code
        with contextlib.suppress(RuntimeError, ValueError):
            self.client.key_value_set(f"{ENDED}{self.index}", why, allow_overwrite=True)
        if self.index == 0:
            time.sleep(2 * LOOK_SECONDS)  # the service ends with it
        sys.stdout.flush()
        os._exit(code)

    def _look(self) -> None:
        """What the others say, again and again."""
        told = -1
        while not self.parting.wait(LOOK_SECONDS):
            with contextlib.suppress(RuntimeError, ValueError):
                for key, why in self.client.key_value_dir_get(ENDED):
                    if (other := key.rsplit("/", 1)[1]) != str(self.index):
                        self.leave(f"process {other} has ended: {why}", "mend that, then start all processes again")
                if told != self.begun:
                    told = self.begun
                    self.client.key_value_set(f"{BEGUN}{self.index}", str(told), allow_overwrite=True)
                since, own = self.since, self.begun
                if since is not None and time.monotonic() - since > STUCK_SECONDS:
                    begun = self.client.key_value_dir_get(BEGUN)
                    if behind := [key.rsplit("/", 1)[1] for key, n in begun if int(n) < own]:
                        self.leave(f"process {', '.join(behind)} has not gone on for {STUCK_SECONDS:.0f} s")


def _unmet(said: str) -> str:
    if "ALREADY_EXISTS" in said:
        return "two processes have the same --process-id"
    if "DEADLINE" in said:
        return f"the processes have not met within {JOIN_SECONDS} s"
    return "the processes can't meet"


def _lost(index: int, said: str) -> str:
    """Which process was lost, by what JAX has said."""
    named = re.search(r"unhealthy \(stopped sending heartbeats\):((?:\s+\d+\b)+)", said)
    if named:
        lost = sorted({int(number) for number in named[1].split()})
        which = f"process {lost[0]}" if len(lost) == 1 else f"processes {', '.join(map(str, lost))}"
    elif index and re.search(r"Socket closed|Connection refused|PollForError|Heartbeat", said):
        which = "process 0"
    else:
        which = "another process"
    return f"{which} was lost: killed, or silent for {HEARTBEAT_SECONDS} s"


def _relay() -> list[str]:
    """Let what native code writes on standard output and error through to standard error, except for what is noise;
    returns the list in which all its lines are."""
    lines: list[str] = []
    receiver, sender = os.pipe()
    for stream, number in (("stdout", 1), ("stderr", 2)):
        getattr(sys, stream).flush()
        setattr(sys, stream, os.fdopen(os.dup(number), "w", 1, encoding="utf-8", errors="backslashreplace"))
        os.dup2(sender, number)
    os.close(sender)

    def read() -> None:
        with open(receiver, encoding="utf-8", errors="replace") as source:
            for line in source:
                lines.append(line)
                if not _NOISE.match(line):
                    sys.stderr.write(line)

    threading.Thread(target=read, daemon=True).start()
    return lines
