"""Several processes of one job, as PyTorch's torchrun starts them: who does what, and who waits for whom.

Without torchrun there is one process, and nothing here does anything. With it, every process has a number, its rank.
Rank 0 goes first until all that can be refused has been, and is the one that writes what belongs to the whole job.
"""

import contextlib
import datetime
import io
import itertools
import os
import signal
import sys
import time
import uuid
from pathlib import Path

import torch
from torch import distributed

import utils.errors
from utils.errors import InputError
from utils.progress import Progress, Silence

PATIENCE = datetime.timedelta(days=50)  # a rank waits for the others' folds
SECONDS_TO_APPEAR = 90  # a network file system shows another machine's files after a minute at most
LOST = "another process of this job has ended; the same command goes on from what is complete"


silent = False  # whether rank 0 says what this rank would say


def rank():
    """Number of this process in the job."""
    return distributed.get_rank() if _joined() else 0


def size():
    """Number of processes in the job."""
    return distributed.get_world_size() if _joined() else 1


def _joined():
    return distributed.is_available() and distributed.is_initialized()


def run(main):
    """`utils.errors.run` for a script whose work several processes may share.

    Parameters
    ----------
    main : callable
        The script. It calls `others_may_start` when all that can be refused has been.
    """
    launched = "TORCHELASTIC_RUN_ID" in os.environ  # by torchrun
    utils.errors.run((lambda: _join(main)) if launched else main)


def _join(main):
    """Be one of the job's processes."""
    nccl = torch.cuda.is_available() and distributed.is_nccl_available()
    with _end_at_once():
        store, number, n = next(distributed.rendezvous("env://", timeout=PATIENCE))
        store = distributed.PrefixStore(_name_of_start(store, number, n), store)
        backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
        distributed.init_process_group(backend, store=store, rank=number, world_size=n, timeout=PATIENCE)
    Progress.bars = size() == 1
    if rank() == 0:
        sys.stdout.reconfigure(line_buffering=True)
    else:
        sys.stdout = io.StringIO()  # rank 0 says the same
        try:
            wait()
        except InputError:  # rank 0 has ended, and has said why
            return
    try:
        main()
    except KeyboardInterrupt:
        if rank() == 0:
            raise
        sys.exit(130)
    except InputError as error:
        if rank() == 0 or not (silent or str(error) == LOST):
            raise
        with contextlib.suppress(InputError):
            wait()  # for rank 0 to say it: torchrun ends all when one has ended
        sys.exit(2)
    except RuntimeError as error:
        if not (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise
        raise InputError(LOST) from None
    distributed.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # of 60 processes that took the usual way out, PyTorch's threads aborted 2


def _name_of_start(store, number, n):
    """A name that this start of the job has to itself.

    After a restart torchrun's store still holds the addresses of the processes that were killed. Rank 0 makes a new
    name up and tells it to whoever asks, until all of this start have thanked for it.
    """
    own = uuid.uuid4().hex
    if number > 0:
        store.set(f"hello {number}", own)
        name = store.get(f"for {own}").decode()
        store.set(f"thanks {number} {name}", "")
        return name
    missing = set(range(1, n))
    while missing:
        for other in sorted(missing):
            if store.check([f"thanks {other} {own}"]):
                missing.discard(other)
            elif store.check([f"hello {other}"]):
                store.set(f"for {store.get(f'hello {other}').decode()}", own)
        time.sleep(0.02)
    return own


def others_may_start(alike=False):
    """Rank 0 lets the others begin; what they print from here on has their rank in front.

    Parameters
    ----------
    alike : bool
        Whether all do the same, so that rank 0 speaks for all, and writes for all.
    """
    global silent
    if rank() == 0:
        wait()
    elif isinstance(sys.stdout, Silence):
        pass  # --quiet
    elif alike:
        silent = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    else:
        sys.stdout = _Prefixed(f"[rank {rank()}] ")


class _Prefixed(io.TextIOBase):
    """Standard output with a prefix before each line, written line by line."""

    def __init__(self, prefix):
        self.prefix, self.line = prefix, ""

    def write(self, text):
        *lines, self.line = (self.line + text).split("\n")
        if lines:
            sys.__stdout__.write("".join(f"{self.prefix}{line}\n" for line in lines))
            sys.__stdout__.flush()
        return len(text)


def wait():
    """Wait until all ranks have come here."""
    gather(None)


def gather(value):
    """The values of all ranks, in their order.

    Parameters
    ----------
    value : object
        What can be pickled.

    Returns
    -------
    list

    Raises
    ------
    InputError
        If a process of the job has ended.
    """
    if size() == 1:
        return [value]
    values = [None] * size()
    with _end_at_once():
        try:
            distributed.all_gather_object(values, value)
        except RuntimeError:
            raise InputError(LOST) from None
    return values


@contextlib.contextmanager
def _end_at_once():
    """SIGTERM ends a process that only waits, which else would not listen to it."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def share(items, is_done):
    """What this process does of the work: every so many-th of the items that are missing.

    Parameters
    ----------
    items : list
    is_done : callable
        Whether an item is complete. Rank 0 decides, and gets the complete ones, too.

    Returns
    -------
    list
    """
    if size() == 1:
        return items
    done = gather([rank() == 0 and is_done(item) for item in items])[0]
    missing = [number for number, complete in enumerate(done) if not complete]
    say_idle(len(missing))
    own = missing[rank() :: size()]
    return [item for number, item in enumerate(items) if number in own or (done[number] and rank() == 0)]


def say_idle(n_items):
    """Say so if there are more processes than work."""
    if rank() == 0 and 0 < n_items < size():
        print(f"{size() - n_items} of {size()} processes have nothing to do: folds to run: {n_items}")


def each(function, items):
    """``[function(item) for item in items]``, on every process, each of which computes its share.

    Parameters
    ----------
    function : callable
        Returns what can be pickled.
    items : sequence

    Returns
    -------
    list
    """
    own = [(number, function(items[number])) for number in range(rank(), len(items), size())]
    return [value for _, value in sorted(itertools.chain(*gather(own)), key=lambda pair: pair[0])]


def appear(paths):
    """Wait until files of other machines can be seen on this one.

    Raises
    ------
    InputError
        If one cannot after a while.
    """
    end = time.monotonic() + (SECONDS_TO_APPEAR if size() > 1 else 0)
    for path in map(Path, paths):
        while not path.exists():
            if time.monotonic() > end:
                raise InputError(f"{path} cannot be seen here; --run-dir must be a folder that all machines share")
            time.sleep(1)
