#!/usr/bin/env bash
# The whole road on simulated recordings: raw DEAP-format files -> prepared -> pre-trained (1 s, 5 s) -> fine-tuned -> result.
# With the paper's recipe, cut short, and with the one that few recordings need, robust.
#   ./demo.sh          8 people x 12 stimuli; about 5 minutes on 2 cores
#   ./demo.sh --null   the same with ratings that have nothing to do with the signals: every score must be chance
#   ./demo.sh --tiny   seconds; shows that everything runs, not that it learns
# An interrupted demo goes on where it stopped; delete data/demo* and runs/demo* to start again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

name=demo
size=(--subjects 8 --trials 12 --seconds 60)
network=(--embed-dim 64 --projector-dims 128,128,128 --batch-size 32)
epochs_1s=2 epochs_5s=4
robust=() robust_tuning=() # all from the recipe
tuning=(--epochs 6 --lr 3e-5) # the paper's 1e-3 overfits these few recordings
for flag in "$@"; do
  case $flag in
    --null) name+=_null size+=(--null) ;;
    --tiny)
      name+=_tiny size=(--subjects 4 --trials 4 --seconds 10)
      network=(--embed-dim 8 --projector-dims 16,16,16) epochs_1s=1 epochs_5s=1 tuning=(--epochs 2)
      robust=(--embed-dim 8 --epochs 1) robust_tuning=(--epochs 2)
      ;;
    -h | --help) tail -n +2 "$0" | sed -n 's/^# \{0,1\}//p' | head -6; exit ;;
    *) echo "error: $flag is unknown; the flags are --null and --tiny" >&2; exit 2 ;;
  esac
done
. .ci/venv.sh requirements.txt
export PHYSIOSYNC_DEMO="./demo.sh $*" # the scripts say no next command: this goes on by itself

n=0 steps=12

step() { # what it is, then the command
  n=$((n + 1))
  printf '\n=== step %s of %s: %s\n' $n $steps "$1"
  shift
  printf '$ python'; printf ' %s' "$@"; printf '\n'
  "$python" "$@"
}
raw=data/${name}_raw data=data/$name run=runs/$name
[ -d "$data" ] || [ -d "$raw" ] || step "Simulated raw recordings in DEAP's format" \
  data_prep/make_synthetic.py --format deap --out-dir "$raw" "${size[@]}"
[ -d "$data" ] || step "Preparation" data_prep/prepare_deap.py --raw-dir "$raw" --out-dir "$data"
n=2 # whether these were there or not
step "Pre-training on 1 s windows, without labels" main_pretrain_1s.py --data-dir "$data" --run-dir "$run" \
  --split trial --n-folds 4 --epochs $epochs_1s "${network[@]}"
step "Pre-training on 5 s windows, without labels" main_pretrain_5s.py --data-dir "$data" --run-dir "$run" \
  --split trial --n-folds 4 --epochs $epochs_5s "${network[@]}"
step "Fine-tuning from random weights, to compare with" Fine_tuning/fine_tuning.py --data-dir "$data" --run-dir "$run" \
  --label arousal --init random "${tuning[@]}"
step "Fine-tuning from the pre-trained weights" Fine_tuning/fine_tuning.py --data-dir "$data" --run-dir "$run" \
  --label arousal "${tuning[@]}"
for window in 1s 5s; do
  step "Pre-training on $window windows with the recipe for few recordings" main_pretrain_$window.py --data-dir "$data" \
    --run-dir "$run" --recipe robust --tag robust "${robust[@]}"
done
step "Fine-tuning with it from random weights" Fine_tuning/fine_tuning.py --data-dir "$data" --run-dir "$run" \
  --label arousal --pretrain-variant robust --init random "${robust_tuning[@]}"
step "Fine-tuning with it from the pre-trained weights" Fine_tuning/fine_tuning.py --data-dir "$data" --run-dir "$run" \
  --label arousal --pretrain-variant robust "${robust_tuning[@]}"
step "Classical baselines: band power and linear models" Fine_tuning/baseline.py --data-dir "$data" --run-dir "$run" \
  --label arousal
step "Result, and a page with its figures" Fine_tuning/report.py --run-dir "$run"

cat <<'END'

What it means: finetune_arousal is the paper's recipe, cut short, which few recordings do not suffice for; use --recipe robust
(finetune_arousal_robust, and _random without pre-training). A network that does not beat logistic and lda is not shown to work.
All of it is simulated, and with --null every line must be near the majority class: what real recordings gave is in
benchmarks/RESULTS.md.
END
