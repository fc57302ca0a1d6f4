#!/bin/bash
#SBATCH --job-name=raravis-score
#SBATCH --array=1-16
#SBATCH --cpus-per-task=4
#SBATCH --mem-per-cpu=2G
#SBATCH --time=08:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Scores one shard of the recordings in each job of an array. A job that was stopped goes on where
# it was; submit the same file again, or only what failed: SHARDS=16 sbatch --array=3,7. Merge:
#   job=$(sbatch --parsable deploy/slurm-score.sh)
#   sbatch --dependency=afterok:"$job" deploy/slurm-merge.sh
set -euo pipefail

# --- edit these -------------------------------------------------------------------------------
RECORDINGS=${RECORDINGS:-$PWD/recordings}
RUN=${RUN:-$PWD/run}     # a run that has learned
PARTS=${PARTS:-$PWD/parts}
RARAVIS=${RARAVIS:-raravis} # or: apptainer run --bind /scratch raravis.sif
# ----------------------------------------------------------------------------------------------

shards=${SHARDS:-${SLURM_ARRAY_TASK_MAX:?submit this with --array=1-16}}
part=$(printf '%s/part-%04d' "$PARTS" "$SLURM_ARRAY_TASK_ID")
mkdir -p "$PARTS"

# RARAVIS may be several words.
# shellcheck disable=SC2086
$RARAVIS score "$RUN" "$RECORDINGS" --shard "$SLURM_ARRAY_TASK_ID/$shards" --out "$part" \
    --on processes --workers "${SLURM_CPUS_PER_TASK:-1}"
