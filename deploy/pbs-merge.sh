#!/bin/bash
#PBS -N raravis-merge
#PBS -l select=1:ncpus=1:mem=16gb
#PBS -l walltime=04:00:00
# Makes one run of all parts, and its report.
set -euo pipefail
cd "${PBS_O_WORKDIR:?submit this with qsub}"

# --- edit these -------------------------------------------------------------------------------
PARTS=${PARTS:-$PWD/parts}
MERGED=${MERGED:-$PWD/merged}
RARAVIS=${RARAVIS:-raravis} # or: apptainer run --bind /scratch raravis.sif
# ----------------------------------------------------------------------------------------------

# RARAVIS may be several words.
# shellcheck disable=SC2086
$RARAVIS merge "$PARTS"/part-* --out "$MERGED"
# shellcheck disable=SC2086
$RARAVIS report "$MERGED"
