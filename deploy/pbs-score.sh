#!/bin/bash
#PBS -N raravis-score
#PBS -J 1-16
#PBS -l select=1:ncpus=4:mem=8gb
#PBS -l walltime=08:00:00
#PBS -r y
# Scores one shard of the recordings in each job of an array (OpenPBS, PBS Pro). A job that was
# stopped goes on where it was; submit the same file again. Merge afterwards:
#   job=$(qsub deploy/pbs-score.sh)
#   qsub -W depend=afterok:"$job" deploy/pbs-merge.sh
set -euo pipefail
cd "${PBS_O_WORKDIR:?submit this with qsub}"

# --- edit these -------------------------------------------------------------------------------
SHARDS=${SHARDS:-16} # as many as -J counts: PBS does not tell a job
RECORDINGS=${RECORDINGS:-$PWD/recordings}
RUN=${RUN:-$PWD/run} # a run that has learned
PARTS=${PARTS:-$PWD/parts}
RARAVIS=${RARAVIS:-raravis} # or: apptainer run --bind /scratch raravis.sif
# ----------------------------------------------------------------------------------------------

part=$(printf '%s/part-%04d' "$PARTS" "$PBS_ARRAY_INDEX")
mkdir -p "$PARTS"

# RARAVIS may be several words.
# shellcheck disable=SC2086
$RARAVIS score "$RUN" "$RECORDINGS" --shard "$PBS_ARRAY_INDEX/$SHARDS" --out "$part" \
    --on processes --workers "${NCPUS:-1}"
