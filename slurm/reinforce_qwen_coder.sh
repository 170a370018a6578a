#!/bin/bash
#SBATCH --job-name=reinforce_qwen_coder
#SBATCH --nodes=1                  # more: sbatch --nodes=2 slurm/reinforce_qwen_coder.sh
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64         # the sandbox runs the programs on them
#SBATCH --mem=0                    # all of a node's
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@600          # this many seconds before the limit it stops, is requeued, and goes on
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%x-%j.out

# ======================================= edit here =======================================
##SBATCH --account=...             # one # less, as your cluster wants them
##SBATCH --partition=...
# Python with acecoder-rl: one of the following, or whatever was active when you called sbatch.
# module load cuda python/3.11
# source "$HOME/miniconda3/bin/activate" acecoder-rl
[ -f .venv/bin/activate ] && . .venv/bin/activate
# export IN="apptainer exec --nv --bind $PWD acecoder-rl.sif"                 # in Apptainer
# export SRUN_OPTIONS="--container-image=$PWD/acecoder-rl.sqsh --container-mounts=$PWD --container-workdir=$PWD"  # Pyxis
# export NCCL_SOCKET_IFNAME=ib0 GLOO_SOCKET_IFNAME=ib0                         # the network between the nodes
RECIPE=recipes/reinforce_pp_qwen_coder_7b_rule.yaml
# =========================================================================================

# sbatch slurm/reinforce_qwen_coder.sh [RECIPE] [--set A.B=C ...] [--resume], from the checkout
case "${1:-}" in "" | -*) ;; *) RECIPE=$1 && shift ;; esac
exec slurm/run.sh train "$RECIPE" "$@"
