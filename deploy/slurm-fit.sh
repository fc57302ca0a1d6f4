#!/bin/bash
#SBATCH --job-name=raravis-fit
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --cpus-per-task=1
#SBATCH --mem-per-cpu=4G
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Learns on several nodes: one process a task, which find each other by Slurm's own variables.
# A job that was stopped or requeued goes on where it was; submit the same file again.
#   sbatch deploy/slurm-fit.sh
# On graphics cards: --gpus-per-task=1, and one task for each card.
set -euo pipefail

# --- edit these -------------------------------------------------------------------------------
RECORDINGS=${RECORDINGS:-$PWD/recordings}
RUN=${RUN:-$PWD/run}
RARAVIS=${RARAVIS:-raravis} # or: apptainer run --bind /scratch raravis.sif
# ----------------------------------------------------------------------------------------------

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=$((20000 + SLURM_JOB_ID % 20000))

# RARAVIS may be several words.
# shellcheck disable=SC2086
srun $RARAVIS fit "$RECORDINGS" --out "$RUN" --model conv-ae
