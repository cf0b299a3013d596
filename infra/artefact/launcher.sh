#!/bin/sh
# Runs this release's @WHAT@ wherever the tree lies, however it was reached and whatever the environment says:
# its own Python, isolated, from its own packages. Links are followed once, so a process that runs keeps its release.
root=$(readlink -f -- "$0") || exit 127
root=${root%/bin/*}
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONPLATLIBDIR PYTHONWARNINGS PYTHONPYCACHEPREFIX
# For Pythons that this one starts; -I below isolates this one from any variable.
export PYTHONNOUSERSITE=1 PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1
# ONNX Runtime would otherwise report its use to its makers: before anything could tell it not to, and with an identifier.
export ORT_DISABLE_TELEMETRY=1
cuda=${root%/*/*}/cuda/lib
if [ -d "$cuda" ]; then
    export LD_LIBRARY_PATH="$cuda${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
exec "$root/bin/@PYTHON@" -I -B -X utf8 @SCRIPT@ "$@"
