"""One clear line instead of a traceback."""

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
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
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
        _fail("interrupted; the same command goes on from the last complete epoch or fold", 130)


def _fail(message, status):
    print("error: " + " ".join(message.split()), file=sys.stderr)
    sys.exit(status)
