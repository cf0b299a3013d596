#!/bin/sh
# Make a virtual environment with OpenStack Swift, whose S3 interface checks signatures, clocks and checksums as strictly
# as a real store does. The tests find it through LIPSYNC_TEST_SWIFT; it never shares an environment with the product.
#
#   tests/install_swift.sh DIRECTORY     install what requirements/swift.txt pins
#   tests/install_swift.sh lock          write requirements/swift.txt anew (needs uv on the PATH)
#
# Where pip finds no wheel of pyeclib, it builds one: install liberasurecode-dev, a C compiler and Python's headers first.
set -eu
lock=$(dirname "$0")/../requirements/swift.txt

case ${1:-} in
'')
    echo "usage: $0 DIRECTORY | lock" >&2
    exit 2
    ;;
lock)
    echo 'swift==2.38.3' | uv pip compile - --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --custom-compile-command 'tests/install_swift.sh lock' -o "$lock"
    ;;
*)
    "${PYTHON:-python3}" -m venv "$1"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
    # Its servers import these two only when the first object arrives.
    "$1/bin/python" -c 'import pyeclib.ec_iface, xattr'
    echo "export LIPSYNC_TEST_SWIFT=$(cd "$1" && pwd)"
    ;;
esac
