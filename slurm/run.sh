#!/bin/bash
# What the scripts beside this one share: one task on each node of the job, and requeueing. Nothing to edit here.
#   slurm/run.sh train|train-rm RECIPE [--set A.B=C ...] [--resume]
# IN and SRUN_OPTIONS are set by those scripts: a container's command, and further options of srun.
set -u
if [ -z "${SLURM_JOB_ID:-}" ]; then
  echo "slurm/run.sh runs in a job: sbatch slurm/ppo_qwen_coder.sh" >&2
  exit 2
fi
# A step without these has all GPUs of the job, however they were asked for; with them, `sbatch --gres=gpu:4` would
# contradict the script's own --gpus-per-node.
unset SLURM_GPUS SLURM_GPUS_PER_NODE SLURM_GPUS_PER_SOCKET SLURM_GPUS_PER_TASK
# A step of its own for all that is started, with this environment (`sbatch --export=NONE` would keep it from the step);
# a task that ends badly must not take the others' last words.
# shellcheck disable=SC2086  # options are words
srun --export=ALL --nodes="$SLURM_JOB_NUM_NODES" --ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 --mem=0 --cpu-bind=none \
  --kill-on-bad-exit=0 --wait=100 ${SRUN_OPTIONS:-} ${IN:-} python3 -u -m acecoder_rl.slurm "$@"
status=$?
if [ "$status" -eq 75 ]; then # acecoder_rl/slurm/lead.py: REQUEUE
  scontrol requeue "$SLURM_JOB_ID" && sleep 60 # Slurm ends this script
  echo "acecoder-rl: Slurm does not requeue this job: submit it again with --resume" >&2
fi
exit "$status"
