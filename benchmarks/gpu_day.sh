#!/usr/bin/env bash
# Everything that has to be seen on a GPU, in under nine minutes: parity, kernels against copy bandwidth, Parquet
# decoded by cuDF, frames of cuDF, whole job against the CPU, a capped pool, several GPUs. Run in the project's
# root; prints one table last.
#   bash benchmarks/gpu_day.sh         on a machine with a GPU (docs/gpu.md says how a box without a network gets
#                                      its libraries; export PYTHONPATH first)
#   bash benchmarks/gpu_day.sh --dry   on any machine: numba's simulator and tiny data
# Names behind that are the sections to run, instead of all.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
OUT=${GPU_DAY_OUT:-$(mktemp -d)/rows.jsonl}
DRY=
if [ "${1:-}" = --dry ]; then DRY=--dry; shift; fi
WANTED=${*:-machine parity kernels parquet frames job memory several}
: >"$OUT"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if [ "$DRY" = --dry ]; then export NUMBA_ENABLE_CUDASIM=1; else export FORGE_REQUIRE_GPU=1; fi

row() { # section, what, figure, verdict
  "$PYTHON" -c 'import json, sys; print(json.dumps(dict(zip(("section", "what", "figure", "verdict"), sys.argv[1:]))))' "$@" >>"$OUT"
}

section() { # name, seconds
  echo "== $1"
  timeout "$2" "$PYTHON" -m benchmarks.gpu_day "$1" "$OUT" $DRY
  local rc=$?
  [ $rc -eq 124 ] && row "$1" "the section itself" "took more than $2 s" FAILED
  [ $rc -gt 124 ] && row "$1" "the section itself" "ended by signal $((rc - 128))" FAILED
  return 0
}

parity() { # seconds
  echo "== parity"
  if ! "$PYTHON" -c 'import pytest' 2>/dev/null; then row parity "engine tests" "pytest is missing" "not run"; return; fi
  local which="(gpu or cudf) and not simulator"
  [ "$DRY" = --dry ] && which="sim and not simulator"
  local log; log=$(mktemp)
  timeout "$1" "$PYTHON" -m pytest -o addopts= -p no:cacheprovider -q -W ignore -k "$which" \
    tests/kernels/test_cuda_parity.py tests/engine/test_engine_gpu.py tests/engine/test_engine_parquet.py \
    tests/engine/test_engine_cudf_adapter.py tests/frames/test_frames_cudf.py 2>&1 | tee "$log" | tail -20
  local rc=${PIPESTATUS[0]} verdict=ok
  [ "$rc" -eq 0 ] || verdict=FAILED
  row parity "engine tests" "$(tail -1 "$log")" $verdict
}

declare -A SECONDS_OF=([machine]=30 [parity]=125 [kernels]=75 [parquet]=60 [frames]=65 [job]=105 [memory]=40 [several]=30)
for name in $WANTED; do
  if [ "$name" = parity ]; then parity "${SECONDS_OF[parity]}"; else section "$name" "${SECONDS_OF[$name]}"; fi
done
"$PYTHON" -m benchmarks.gpu_day table "$OUT" $DRY
