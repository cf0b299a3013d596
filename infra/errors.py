"""The tree of errors, by what the caller should do about them.

    LipsyncError
    ├── Rejected      the input or the call is wrong: fix it (exit code 2)
    │   └── NotFound  what was named does not exist
    ├── Failed        something must be mended first: a broken pack, a missing bucket, a full disk (exit code 2)
    │   ├── Damaged   what was stored is not there any more as it was stored
    │   └── JobFailed it was accepted and did not come to its end (exit code 1)
    ├── Transient     try again later: a server restarts, a connection broke
    │   └── Unreachable  Redis or the store cannot be reached (exit code 3)
    └── ClaimLost     somebody else has the work or nobody wants it: stop quietly

Foreign exceptions are translated once, in the adapter that meets them. Every message is one sentence: what was
being done, on which object, what to try. All of them survive pickling, since each takes exactly its message.
"""

EXIT_FAILED = 1
EXIT_REJECTED = 2
EXIT_UNREACHABLE = 3


class LipsyncError(Exception):
    """Base of every error that a user may meet; the message is the whole story."""

    exit_code = EXIT_FAILED


class Rejected(LipsyncError):
    """The input or the call is wrong; doing the same again cannot help."""

    exit_code = EXIT_REJECTED


class NotFound(Rejected):
    """The object, avatar or job that was named does not exist."""


class Failed(LipsyncError):
    """Something is broken that a person must look at before the same can work."""

    exit_code = EXIT_REJECTED


class Damaged(Failed):
    """Something that was stored was changed, cut off or lost since: the fault is its own, whatever machine looks."""


class JobFailed(Failed):
    """A job that was accepted did not come to its end."""

    exit_code = EXIT_FAILED


class Transient(LipsyncError):
    """The same call may succeed later."""

    exit_code = EXIT_UNREACHABLE


class Unreachable(Transient):
    """Redis or the store did not answer within the bounded wait."""


class ClaimLost(LipsyncError):
    """The work belongs to somebody else now, or to nobody; not a failure."""
