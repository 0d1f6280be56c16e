#!/usr/bin/env bash
# Everything that has to be seen on a GPU, in two calls of under 240 s that are useful alone. Run in the project's
# root; prints a table last, and fails where a row of it does.
#   bash benchmarks/gpu_day.sh 1         what starts: imports, machine, kernels, parity, memcheck
#   bash benchmarks/gpu_day.sh 2         what is fast and what holds: jobs, Parquet, frames, memory, fault, several
#   bash benchmarks/gpu_day.sh --dry     both, on any machine: numba's simulator and tiny data
# Names of sections instead of a number run these. docs/gpu.md says how a box without a network gets its libraries.
# GPU_DAY_OUT: the folder of the rows and logs, two files a call; else OUT, where it is a folder; else a new one.
set -uo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
DRY=
if [ "${1:-}" = --dry ]; then DRY=--dry; shift; fi
FIRST="machine kernels parity memcheck"
SECOND="jobs parquet frames memory fault several"
case "${*:-all}" in
  1) SECTIONS=$FIRST ;;
  2) SECTIONS=$SECOND ;;
  all) SECTIONS="$FIRST $SECOND" ;;
  *) SECTIONS=$* ;;
esac
FOLDER=${GPU_DAY_OUT:-${OUT:-}}
[ -d "$FOLDER" ] || FOLDER=$(mktemp -d)
ROWS=$FOLDER/rows-${SECTIONS%% *}.jsonl
LOG=$FOLDER/log-${SECTIONS%% *}.txt
: >"$ROWS"
: >"$LOG"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if [ -z "${CUDA_HOME:-}" ] && nvcc=$(command -v nvcc); then
  CUDA_HOME=$(dirname "$(dirname "$(readlink -f "$nvcc")")")
  export CUDA_HOME
fi
SLACK=1  # times the seconds of each section
if [ "$DRY" = --dry ]; then SLACK=10; export NUMBA_ENABLE_CUDASIM=1; else export FORGE_REQUIRE_GPU=1; fi

row() { # section, what, figure, verdict
  "$PYTHON" -c 'import json, sys; print(json.dumps(dict(zip(("section", "what", "figure", "verdict"), sys.argv[1:]))))' "$@" >>"$ROWS"
}

section() { # name, seconds
  timeout "$2" "$PYTHON" -m benchmarks.gpu_day "$1" "$ROWS" $DRY 2>&1 | tee -a "$LOG"
  local rc=${PIPESTATUS[0]}
  [ "$rc" -eq 124 ] && row "$1" "the section itself" "took more than $2 s" FAILED
  [ "$rc" -gt 124 ] && row "$1" "the section itself" "ended by signal $((rc - 128))" FAILED
  return 0
}

parity() { # name, seconds
  local which="(gpu or cudf) and not simulator" verdict=ok rc
  if [ "$DRY" = --dry ]; then which="sim and not simulator"; set -- "$@" --collect-only; fi
  timeout "$2" "$PYTHON" -m pytest -o addopts= -p no:cacheprovider -q -W ignore -k "$which" "${@:3}" \
    tests/kernels/test_cuda_parity.py tests/engine/test_engine_gpu.py tests/engine/test_engine_parquet.py \
    tests/engine/test_engine_cudf_adapter.py tests/frames/test_frames_cudf.py 2>&1 | tee -a "$LOG" | tail -20
  rc=${PIPESTATUS[0]}
  [ "$rc" -eq 0 ] || verdict=FAILED
  row parity "engine tests" "$(tail -1 "$LOG")" $verdict
}

memcheck() { # name, seconds: every kernel over a little data, each buffer an allocation of its own
  local checker verdict=ok rc
  checker=$(command -v compute-sanitizer) || [ "$DRY" = --dry ] ||
    { row memcheck "every kernel" "compute-sanitizer is missing" "not run"; return; }
  timeout "$2" ${checker:+$checker --tool memcheck --error-exitcode 77} \
    "$PYTHON" -m benchmarks.gpu_day touch "$ROWS" $DRY 2>&1 | tee -a "$LOG" | tail -20
  rc=${PIPESTATUS[0]}
  [ "$rc" -eq 0 ] || verdict=FAILED
  row memcheck "every kernel" "exit $rc${checker:+, $(grep 'ERROR SUMMARY' "$LOG" | tail -1)}" $verdict
}

"$PYTHON" -m benchmarks.gpu_day.imports $DRY || exit 1
declare -A SECONDS_OF=([machine]=40 [kernels]=55 [parity]=90 [memcheck]=45
  [jobs]=100 [parquet]=35 [frames]=35 [memory]=30 [fault]=25 [several]=10)
for name in $SECTIONS; do
  echo "== $name"
  case $name in
    parity | memcheck) "$name" "$name" $((SLACK * SECONDS_OF[$name])) ;;
    *) section "$name" $((SLACK * SECONDS_OF[$name])) ;;
  esac
done
"$PYTHON" -m benchmarks.gpu_day table "$ROWS" $DRY
