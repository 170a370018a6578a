#!/bin/bash
#SBATCH --job-name=score
#SBATCH --array=1-8                # so many parts of the file, each a job: sbatch --array=1-32 slurm/score.sh ...
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=16         # programs at once
#SBATCH --mem=32G
#SBATCH --time=04:00:00            # not enough? the same command again goes on where it stopped
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%x-%A-%a.out

# ======================================= edit here =======================================
##SBATCH --account=...             # one # less, as your cluster wants them
##SBATCH --partition=...
# Python with acecoder-rl: one of the following, or whatever was active when you called sbatch.
# module load python/3.11
# source "$HOME/miniconda3/bin/activate" acecoder-rl
[ -f .venv/bin/activate ] && . .venv/bin/activate
# export IN="apptainer exec --bind $PWD acecoder-rl.sif"                       # in Apptainer
# export SRUN_OPTIONS="--container-image=$PWD/acecoder-rl.sqsh --container-mounts=$PWD --container-workdir=$PWD"  # Pyxis
SHARDS=${SHARDS:-${SLURM_ARRAY_TASK_COUNT:-1}} # only some of the parts again: SHARDS=8 sbatch --array=3,5 slurm/score.sh ...
# =========================================================================================

# sbatch slurm/score.sh FILE FOLDER [options of acecoder-rl score], from the checkout; then
# cat FOLDER/shard-????.jsonl > verdicts.jsonl
if [ $# -lt 2 ]; then
  echo "usage: sbatch slurm/score.sh FILE FOLDER [options of acecoder-rl score]" >&2
  exit 2
fi
FILE=$1 FOLDER=$2 PART=${SLURM_ARRAY_TASK_ID:-1}
shift 2
mkdir -p "$FOLDER"
# shellcheck disable=SC2086  # options are words
exec srun --export=ALL --ntasks=1 --mem=0 --cpu-bind=none ${SRUN_OPTIONS:-} ${IN:-} python3 -m acecoder_rl.cli score "$FILE" \
  -o "$FOLDER/shard-$(printf %04d "$PART").jsonl" --shard "$PART/$SHARDS" --resume "$@"
