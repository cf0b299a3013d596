"""Run by the tree's own Python: compile modules to byte code that is the same wherever and whenever it is made.

    python3.11 compiling.py TREE FOLDER…

Byte code names its source by the path within the tree, and is never compared with it: hosts cannot change either.
Alone in its file, since that Python has none of this repository's packages at this moment.
"""

import py_compile
import sys
import warnings
from pathlib import Path


def main(tree: Path, folders: list[Path]) -> None:
    """Compile every module below the folders; one that is none ends it with an error."""
    warnings.simplefilter("ignore")  # about escapes in strings of others
    for source in sorted(source for folder in folders for source in folder.rglob("*.py")):
        py_compile.compile(
            str(source),
            dfile=str(source.relative_to(tree)),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]])
