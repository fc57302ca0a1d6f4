#!/bin/bash
#SBATCH --job-name=raravis-ray
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem-per-cpu=2G
#SBATCH --time=08:00:00
# A Ray cluster for as long as the job lasts, and all recordings scored by it into one run. Every
# node must see RECORDINGS under the same path. A job that was stopped goes on where it was.
set -euo pipefail

# --- edit these -------------------------------------------------------------------------------
RECORDINGS=${RECORDINGS:-$PWD/recordings}
RUN=${RUN:-$PWD/run} # a run that has learned
# ----------------------------------------------------------------------------------------------

export RAY_USAGE_STATS_ENABLED=0
head=$(hostname --ip-address | cut -d ' ' -f 1)
export RAY_ADDRESS=$head:$((20000 + SLURM_JOB_ID % 20000))
trap 'ray stop' EXIT

ray start --head --node-ip-address="$head" --port="${RAY_ADDRESS##*:}" \
    --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) \
        --exclude="$(hostname)" ray start --address="$RAY_ADDRESS" \
        --num-cpus="$SLURM_CPUS_PER_TASK" --block &
fi

raravis score "$RUN" "$RECORDINGS" --on ray \
    --workers $((SLURM_JOB_NUM_NODES * SLURM_CPUS_PER_TASK))
