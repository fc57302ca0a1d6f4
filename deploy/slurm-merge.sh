#!/bin/bash
#SBATCH --job-name=raravis-merge
#SBATCH --cpus-per-task=1
#SBATCH --mem=16G
#SBATCH --time=04:00:00
# Makes one run of all parts, and its report.
set -euo pipefail

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
