"""One clear line instead of a traceback."""

import os
import shlex
import signal
import sys


class InputError(Exception):
    """Something the user gave is wrong; the message names the file or flag, the cause and the remedy."""


def run(main):
    """Call a script's ``main()``; on a user's error print one line and exit with status 2.

    Parameters
    ----------
    main : callable
        The script. SIGTERM ends it like Ctrl-C: the write in progress is not left half done, status 130.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts what runs in the background without them
        signal.signal(number, signal.default_int_handler)
    try:
        main()
    except InputError as error:
        _fail(str(error), 2)
    except MemoryError:
        _fail("out of memory: use a smaller --batch-size, or fewer channels", 2)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}; check the path, its permissions and the free disk space", 2)
    except KeyboardInterrupt:
        launcher = "torchrun ..." if "TORCHELASTIC_RUN_ID" in os.environ else "python"
        _fail(f"interrupted; to go on from what is complete: {launcher} {shlex.join(sys.argv)}", 130)
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError" and "allocate memory" not in str(error):
            raise
        _fail("out of memory: use a smaller --batch-size, fewer channels, or on a GPU --precision bf16", 2)


def _fail(message, status):
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)
